"""What probes of silenced genes ask: does a gene's profile agree with its partner more than with those of others?"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.random import Generator

from pertprobe.data.cell_sets import CellSets
from pertprobe.probes.base import TestInputs, members
from pertprobe.probes.questions import Paired
from pertprobe.roles import SUBJECT
from pertprobe.statistics.fidelity import matched_beyond
from pertprobe.statistics.matched import PairedTest, along_axis, contrasts, held_profile_test, paired_profile_test
from pertprobe.statistics.similarity import marks, spearman_matrix

AGREEMENT, BEYOND = "agreement", "agreement_beyond_rivals"
OF_ALL = "_all_genes"
ALL_GENES = AGREEMENT + OF_ALL
Correlated = Callable[[xr.DataArray, xr.DataArray, Sequence[int], np.ndarray | None], np.ndarray]
"""Given profiles of both sides, outputs to leave out and rows to ask (None: all), returns r [n, n]."""
KNOCKED_OUT = "knocked-out genes"
DECILES = 10


def agreement(
    inputs: TestInputs,
    ours: xr.DataArray,
    theirs: xr.DataArray,
    role: str = SUBJECT,
    *,
    together: bool = False,
    statistic: str = AGREEMENT,
    correlated: "Correlated | None" = None,
    **more: Any,
) -> Paired:
    """Return whether profile i of `ours` agrees with i of `theirs` more than with those of genes expressed alike.

    Profiles are [perturbation, gene], of the same genes and outputs. A program's own outputs are left out of its
    agreement. `together` asks all genes, one with another; `correlated` is what agreement is, in place of
    `correlations`; `more` are further fields of the question.
    """
    genes, outputs = ours.perturbation.values, ours.gene.values
    deciles = expression_groups(inputs.cells, genes)
    # Only the program's own rows are needed: the others tell the spread of the subject's, of what verdicts read.
    whole = together or (statistic == AGREEMENT and {role, inputs.identity.get("role", SUBJECT)} == {SUBJECT})
    correlated = correlated or correlations

    @cache
    def left_out(program: str) -> np.ndarray:
        """Return the outputs that no correlation of this program rests on."""
        return members(outputs, inputs.programs[program] if program else ())

    @cache
    def usable(program: str) -> np.ndarray:
        """Return which profiles vary on both sides [genes]."""
        return varying(ours, left_out(program)) & varying(theirs, left_out(program))

    of_all = lru_cache(maxsize=1)(lambda without: correlated(ours, theirs, without, None))  # matrices are large
    every = cache(lambda: correlated(ours, theirs, (), None))

    def test(program: str, found: np.ndarray | None, m: int, random: Generator) -> tuple[PairedTest, np.ndarray]:
        """Test the profiles of the program's genes."""
        without = tuple(left_out(program))
        r = every() if not without else of_all(without) if whole else correlated(ours, theirs, without, found)
        # The more a gene is expressed, the more it has of the axis that all genes share.
        foretold = along_axis(every(), found)
        result = held_profile_test(r, foretold, deciles, m, random, members=found, usable=usable(program))
        return result, contrasts(r, deciles, result.genes, found, usable(program))

    who = {"role": role, "names": genes, "unit": "gene", "called": KNOCKED_OUT, "together": together}
    words = {
        "fewest": "genes with a varying profile and a partner",
        "constant": "constant profiles",
        "alone": "genes without a partner of like expression",
    }
    more |= {"test": test, "background": lambda program: int(usable(program).sum()), "first_order": True}
    return Paired(statistic=statistic + OF_ALL * together, **who, **words, **more)


def against_partners(
    r: np.ndarray, groups: np.ndarray, m: int, random: Generator, found: np.ndarray | None, usable: np.ndarray
) -> tuple[PairedTest, np.ndarray]:
    """Return the test of r_ii [n, n] of the genes in `found` (None: all), and how far each lies above its partners."""
    result = paired_profile_test(r, groups, m, random, members=found, usable=usable)
    return result, contrasts(r, groups, result.genes, found, usable)


def expression_groups(cells: CellSets, genes: Sequence[str], groups: int = DECILES) -> np.ndarray:
    """Return the group of each gene's mean expression over control cells, among `genes`: 0 = lowest."""
    if not len(genes):
        return np.zeros(0, dtype=int)
    expression = cells.for_genes(tuple(genes)).values.mean(axis=(0, 1), dtype=np.float64)
    ranks = pd.Series(expression).rank(method="first").to_numpy() - 1
    return (ranks * groups // len(genes)).astype(int)


def shared(ours: xr.DataArray, theirs: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return both measurements on the knocked-out genes and the outputs that they have in common."""
    genes, outputs = (sorted(set(ours[dim].values) & set(theirs[dim].values)) for dim in ("perturbation", "gene"))
    return ours.sel(perturbation=genes, gene=outputs), theirs.sel(perturbation=genes, gene=outputs)


def coexpression_profiles(observed: xr.Dataset, genes: Sequence[str]) -> xr.DataArray:
    """Return the correlation of each gene with all others in control cells, as a knock-out would be measured."""
    table = observed["correlation"].rename(input_gene="perturbation", input_gene_b="gene")
    known = [name for name in genes if name in table.perturbation.values]
    return table.sel(perturbation=known).astype(np.float64)


def correlations(
    ours: xr.DataArray,
    theirs: xr.DataArray,
    left_out: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
) -> np.ndarray:
    """Return Spearman r [n, n] of profile i in one context with profile j in the other, without outputs i and j.

    `left_out` leaves outputs out of every pair; with `rows` only these i are correlated, the others are nan.
    """
    own, n = own_outputs(ours), ours.sizes["perturbation"]
    rows = np.arange(n) if rows is None else np.asarray(rows, dtype=np.intp)
    r = np.full((n, n), np.nan)
    r[rows] = spearman_matrix(ours.values[rows], theirs.values, own[rows], own, left_out=left_out)
    return r


def beyond_rivals(
    rivals: Sequence[xr.DataArray],
    ours: xr.DataArray,
    theirs: xr.DataArray,
    left_out: Sequence[int],
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return r [n, n] as `correlations` does, of what rivals [rival, perturbation, gene] do not foretell of either.

    Of the ranks of profile i and of every j what rivals answer for i is taken by least squares; what is left agrees as
    a part of whole profiles (`statistics.fidelity.matched_beyond`).
    """
    kept = np.setdiff1d(np.arange(ours.sizes["gene"]), left_out)
    ours, theirs = ours.isel(gene=kept), theirs.isel(gene=kept)
    place = {"perturbation": ours.perturbation.values, "gene": ours.gene.values}
    answers = np.concatenate([each.sel(place).transpose("rival", "perturbation", "gene").values for each in rivals])
    return matched_beyond(ours.values, theirs.values, own_outputs(ours), answers, rows=rows, of_whole=True)


def own_outputs(profiles: xr.DataArray) -> np.ndarray:
    """Return the output [n] that is the knocked gene of each profile; -1 where it is not an output."""
    return pd.Index(profiles.gene.values).get_indexer(profiles.perturbation.values)


def varying(profiles: xr.DataArray, left_out: Sequence[int] = ()) -> np.ndarray:
    """Return which profiles [n] vary over outputs, their own gene and those in `left_out` aside."""
    kept = ~marks(own_outputs(profiles), profiles.shape[1])
    kept[:, np.asarray(left_out, dtype=np.intp)] = False
    high = np.where(kept, profiles.values, -np.inf).max(axis=1)
    low = np.where(kept, profiles.values, np.inf).min(axis=1)
    return high > low
