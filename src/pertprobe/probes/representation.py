"""What the probes of a representation share: is a program coherent, and do two models agree?"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.observed import coexpression_similarity, similarity_reference
from pertprobe.probes.base import NEVER, Published, Subject, TestInputs, each_program
from pertprobe.roles import COEXPRESSION, OBSERVED, SUBJECT
from pertprobe.statistics.ceiling import noise_ceiling, pair_weights
from pertprobe.statistics.intervals import bootstrap_coherence
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.many import coherence_many
from pertprobe.statistics.similarity import centred, cosine_similarity

Row = dict[str, Any]

RESAMPLES = 199
"""Resamples of perturbations behind the interval of a second-order ceiling: there are P^2/2 numbers in each."""


def trained_profiles(subject: Subject, profiles: xr.DataArray) -> xr.DataArray:
    """Return the profiles [perturbation, feature] without perturbations whose code was never trained."""
    never = subject.seen.index[subject.seen == NEVER]
    return profiles.sel(perturbation=~np.isin(profiles.perturbation.values, never))


def coherence_rows(
    inputs: TestInputs,
    profiles: xr.DataArray,
    published: Published | None = None,
    statistic: str = "coherence",
    adjustments: Sequence[str] = ("centred", "raw"),
) -> Iterator[Row]:
    """Yield one row per program and adjustment: mean cosine similarity within the program.

    The null permutes perturbation labels, with effect strength held in p_stratified
    (methods.md, Label permutation with effect strength held).
    """
    names = profiles.perturbation.values
    raw = cosine_similarity(profiles.values)
    strength = inputs.subject.strength.reindex(names).to_numpy()
    for adjustment in adjustments:
        similarity = raw if adjustment == "raw" else cosine_similarity(centred(profiles.values))
        said = (
            (lambda found, program: published(raw, found, inputs.random("published", program))) if published else None
        )
        who = {"statistic": statistic, "adjustment": adjustment}
        yield from similarity_rows(inputs, similarity, names, strength, who, said)


def similarity_rows(
    inputs: TestInputs,
    similarity: np.ndarray,
    names: np.ndarray,
    strength: np.ndarray | None,
    who: Row,
    said: Callable[[np.ndarray, str], tuple[float, float]] | None = None,
    genes: str = "",
) -> Iterator[Row]:
    """Yield one row per program of the mean of a similarity [P, P] over its pairs of perturbations.

    `genes`: what the units are called where they are genes.
    """
    who = {**who, "unit": "gene"} if genes else who
    enough, what = (inputs.min_genes, genes) if genes else (inputs.min_perturbations, "trained perturbations")
    asked = list(each_program(inputs, names, enough, what))
    sets = {program: found for program, found, short in asked if not short}
    tests = coherence_many(
        similarity, sets, strength, inputs.permutations, lambda program: inputs.random("coherence", program)
    )
    for program, found, short in asked:
        row = {**who, "program": program, "n": len(found), "n_background": len(names)}
        if short:
            yield evidence.not_evaluable(inputs.identity, short, **row)
            continue
        low, high = bootstrap_coherence(similarity, found, inputs.bootstrap, inputs.random("interval", program))
        columns = evidence.tested(tests[program], "" if genes else inputs.subject.held_out(names[found]))
        estimate, p = said(found, program) if said else (np.nan, np.nan)
        interval = {"ci_low": low, "ci_high": high}
        yield evidence.row(inputs.identity, **row, **columns, **interval, estimate_published=estimate, p_published=p)


def reference_rows(inputs: TestInputs, names: np.ndarray) -> Iterator[Row]:
    """Yield coherence in the observed responses, and in the co-expression of the knocked genes in control cells.

    Of the perturbations called `names` those that were observed, or whose genes are measured. Observed responses are
    matched by their own strength, co-expression by the model's.
    """
    observed = inputs.subject.observed
    if observed is None:
        return
    who = {"statistic": "coherence", "adjustment": "centred"}
    similarity, kept = similarity_reference(observed, sorted(names))
    if len(kept) > 2:
        strength = np.linalg.norm(observed["delta_y"].sel(perturbation=kept).values.astype(np.float64), axis=1)
        yield from similarity_rows(inputs.as_role(OBSERVED), similarity, np.array(kept), strength, who)
    similarity, kept = coexpression_similarity(observed, sorted(names))
    if len(kept) > 2:
        strength = inputs.subject.strength.reindex(kept).to_numpy()
        yield from similarity_rows(inputs.as_role(COEXPRESSION), similarity, np.array(kept), strength, who)


def consistency_rows(
    inputs: TestInputs,
    ours: xr.DataArray,
    theirs: xr.DataArray,
    published: Callable[[xr.DataArray, xr.DataArray], float] | None = None,
    statistic: str = "consistency",
    strength: pd.Series | None = None,
) -> Iterator[Row]:
    """Yield the second-order agreement of two models: Mantel correlation of their similarity matrices.

    Second-order, because first-order agreement of models that share an initialisation shows the seed
    (methods.md, Consistency). Profiles are [perturbation, feature], or [set, perturbation, feature] where cell sets
    give a noise ceiling. With `strength` of the perturbations it is held (`statistics.mantel`).
    """
    shared = sorted(set(ours.perturbation.values) & set(theirs.perturbation.values))
    who = {"statistic": statistic, "n": len(shared), "n_background": len(shared)}
    if len(shared) < 4:
        yield evidence.not_evaluable(inputs.identity, f"{len(shared)} shared perturbations, 4 needed", **who)
        return
    sides = [each.sel(perturbation=shared) for each in (ours, theirs)]
    means = [each.mean("set") if "set" in each.dims else each for each in sides]
    matrices = [cosine_similarity(centred(each.values)) for each in means]
    held = None if strength is None else strength.reindex(shared).to_numpy()
    test = mantel(*matrices, inputs.permutations, inputs.random(statistic), strength=held)
    ceiling, note = _consistency_ceiling(inputs, sides, statistic)
    columns = evidence.tested(test, inputs.sharing, note) | ceiling
    yield evidence.row(inputs.identity, **who, **columns, estimate_published=published(*means) if published else np.nan)


def _consistency_ceiling(inputs: TestInputs, sides: Sequence[xr.DataArray], statistic: str) -> tuple[Row, str]:
    """Return the columns of the noise ceiling and its note; nothing where the profiles do not depend on cells."""
    if inputs.identity.get("role", SUBJECT) != SUBJECT or any("set" not in each.dims for each in sides):
        return {}, ""
    if min(each.sizes["set"] for each in sides) < 2:
        return {}, "no noise ceiling: one cell set"
    n = sides[0].sizes["perturbation"]
    upper = np.triu_indices(n, 1)
    pairs = [np.stack([cosine_similarity(centred(each))[upper] for each in side.values]) for side in sides]
    weights = pair_weights(n, min(inputs.bootstrap, RESAMPLES), inputs.random("ceiling", statistic))
    return evidence.ceilinged(noise_ceiling(*pairs, weights))


def matched_cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine [P] of each row of one array [P, F] with the same row of the other; 0 for a zero row."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
