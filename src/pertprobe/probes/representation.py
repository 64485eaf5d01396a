"""What the probes of a representation share: is a program coherent, and do two models agree?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from pertprobe import evidence
from pertprobe.probes.base import NEVER, Published, Subject, TestInputs, each_program
from pertprobe.statistics.intervals import bootstrap_coherence
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.permutation import coherence
from pertprobe.statistics.similarity import centred, cosine_similarity

Row = dict[str, Any]


def trained_profiles(subject: Subject, profiles: xr.DataArray) -> xr.DataArray:
    """Return the profiles [perturbation, feature] without perturbations whose code was never trained."""
    never = subject.seen.index[subject.seen == NEVER]
    return profiles.sel(perturbation=~np.isin(profiles.perturbation.values, never))


def coherence_rows(inputs: TestInputs, profiles: xr.DataArray, published: Published) -> Iterator[Row]:
    """Yield one row per program and adjustment: mean cosine similarity within the program.

    The null permutes perturbation labels, with effect strength held in p_stratified (inference.md 1 and 2).
    """
    similarity = {
        "centred": cosine_similarity(centred(profiles.values)),
        "raw": cosine_similarity(profiles.values),
    }
    names = profiles.perturbation.values
    strength = inputs.subject.strength.reindex(names).to_numpy()
    for program, found, short in each_program(inputs, names, inputs.min_perturbations, "trained perturbations"):
        for adjustment, matrix in similarity.items():
            who = {"statistic": "coherence", "adjustment": adjustment, "program": program, "n": len(found)}
            if short:
                yield evidence.not_evaluable(inputs.identity, short, **who, n_background=len(names))
                continue
            test = coherence(matrix, found, strength, inputs.permutations, inputs.random("coherence", program))
            low, high = bootstrap_coherence(matrix, found, inputs.bootstrap, inputs.random("interval", program))
            said = published(similarity["raw"], found, inputs.random("published", program))
            yield evidence.row(
                inputs.identity,
                **who,
                **evidence.tested(test, inputs.subject.held_out(names[found])),
                n_background=len(names),
                ci_low=low,
                ci_high=high,
                estimate_published=said[0],
                p_published=said[1],
            )


def consistency_rows(
    inputs: TestInputs,
    profiles: xr.DataArray,
    reference: xr.DataArray,
    published: Callable[[xr.DataArray, xr.DataArray], float],
) -> Iterator[Row]:
    """Yield the second-order agreement of two models: Mantel correlation of their similarity matrices.

    Second-order, because first-order agreement of models that share an initialisation shows the seed (inference.md 4).
    """
    shared = sorted(set(profiles.perturbation.values) & set(reference.perturbation.values))
    who = {"statistic": "consistency", "n": len(shared), "n_background": len(shared)}
    if len(shared) < 4:
        yield evidence.not_evaluable(inputs.identity, f"{len(shared)} shared perturbations, 4 needed", **who)
        return
    ours, theirs = profiles.sel(perturbation=shared), reference.sel(perturbation=shared)
    matrices = [cosine_similarity(centred(each.values)) for each in (ours, theirs)]
    test = mantel(*matrices, inputs.permutations, inputs.random("consistency"))
    said = published(ours, theirs)
    columns = evidence.tested(test, inputs.sharing)
    yield evidence.row(inputs.identity, **who, **columns, estimate_published=said)


def matched_cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine [P] of each row of one array [P, F] with the same row of the other; 0 for a zero row."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
