"""What probes of silenced genes ask: does a gene's profile agree with its partner more than with those of others?"""

from collections.abc import Sequence
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
from pertprobe.statistics.matched import PairedTest, paired_profile_test
from pertprobe.statistics.similarity import spearman_matrix

AGREEMENT, ALL_GENES = "agreement", "agreement_all_genes"
KNOCKED_OUT = "knocked-out genes"
DECILES = 10


def agreement(
    inputs: TestInputs,
    ours: xr.DataArray,
    theirs: xr.DataArray,
    role: str = SUBJECT,
    *,
    together: bool = False,
    **more: Any,
) -> Paired:
    """Return whether profile i of `ours` agrees with i of `theirs` more than with those of genes expressed alike.

    Profiles are [perturbation, gene], of the same genes and outputs. A program's own outputs are left out of its
    agreement. `together` asks all genes, one with another; `more` are further fields of the question.
    """
    genes, outputs = ours.perturbation.values, ours.gene.values
    deciles = expression_groups(inputs.cells, genes)
    # Of copies and references only the program's own rows are needed: the others tell the spread of the subject's.
    whole = together or {role, inputs.identity.get("role", SUBJECT)} == {SUBJECT}

    @cache
    def left_out(program: str) -> np.ndarray:
        """Return the outputs that no correlation of this program rests on."""
        return members(outputs, inputs.programs[program] if program else ())

    @cache
    def usable(program: str) -> np.ndarray:
        """Return which profiles vary on both sides [genes]."""
        return varying(ours, left_out(program)) & varying(theirs, left_out(program))

    @lru_cache(maxsize=1)  # as far as programs without outputs of their own need: matrices of all are too large
    def of_all(without: tuple[int, ...]) -> np.ndarray:
        """Return the correlations of all genes."""
        return correlations(ours, theirs, without)

    def test(program: str, found: np.ndarray | None, m: int, random: Generator) -> tuple[PairedTest, np.ndarray]:
        """Test the profiles of the program's genes."""
        without = tuple(left_out(program))
        r = of_all(without) if whole else correlations(ours, theirs, without, rows=found)
        return against_partners(r, deciles, m, random, found, usable(program))

    who = {"role": role, "names": genes, "unit": "gene", "called": KNOCKED_OUT, "together": together}
    words = {
        "fewest": "genes with a varying profile and a partner",
        "constant": "constant profiles",
        "alone": "genes without a partner of like expression",
    }
    more |= {"test": test, "background": lambda program: int(usable(program).sum()), "first_order": True}
    return Paired(statistic=ALL_GENES if together else AGREEMENT, **who, **words, **more)


def against_partners(
    r: np.ndarray, groups: np.ndarray, m: int, random: Generator, found: np.ndarray | None, usable: np.ndarray
) -> tuple[PairedTest, np.ndarray]:
    """Return the test of r_ii [n, n] of the genes in `found` (None: all), and how far each lies above its partners."""
    result = paired_profile_test(r, groups, m, random, members=found, usable=usable)
    return result, r[result.genes, result.genes] - result.partners


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


def own_outputs(profiles: xr.DataArray) -> np.ndarray:
    """Return the output [n] that is the knocked gene of each profile; -1 where it is not an output."""
    return pd.Index(profiles.gene.values).get_indexer(profiles.perturbation.values)


def varying(profiles: xr.DataArray, left_out: Sequence[int] = ()) -> np.ndarray:
    """Return which profiles [n] vary over outputs, their own gene and those in `left_out` aside."""
    kept = np.ones(profiles.shape, dtype=bool)
    kept[:, np.asarray(left_out, dtype=np.intp)] = False
    own = own_outputs(profiles)
    kept[np.flatnonzero(own >= 0), own[own >= 0]] = False
    high = np.where(kept, profiles.values, -np.inf).max(axis=1)
    low = np.where(kept, profiles.values, np.inf).min(axis=1)
    return high > low
