"""What probes of profiles ask: is a program coherent, and are the same perturbations alike in two models?"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import Published, Subject, TestInputs, averaged
from pertprobe.probes.questions import ONE_SET, Coherence, Whole, per_set
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.reliability import Ceiling, noise_ceiling, pair_weights
from pertprobe.statistics.similarity import centred, cosine_similarity

Reader = Callable[[xr.Dataset, str], xr.DataArray]
RESAMPLES = 199
"""Resamples of perturbations behind the interval of a second-order ceiling: there are P^2/2 numbers in each."""


def trained_profiles(subject: Subject, name: str, read: Reader = averaged) -> xr.DataArray:
    """Return a variable [perturbation, feature] of the perturbations with a trained code; with its sets if `by_set`."""
    profiles = read(subject.measurement, name)
    return profiles.sel(perturbation=subject.trained(profiles.perturbation.values))


def in_order_of(ours: xr.DataArray, theirs: xr.DataArray) -> xr.DataArray:
    """Return profiles whose features, known by name, stand as those of another model; as they are if it has others."""
    axis = ours.dims[-1]
    names, others = (each[axis].values for each in (ours, theirs))
    return theirs.sel({axis: names}) if set(names) == set(others) else theirs


def coherences(
    inputs: TestInputs,
    profiles: xr.DataArray,
    published: Published | None = None,
    statistic: str = "coherence",
    adjustments: Sequence[str] = ("centred", "raw"),
) -> Iterator[Coherence]:
    """Yield, for each adjustment, whether programs are alike by the cosine of profiles [perturbation, feature]."""
    names, raw = profiles.perturbation.values, cosine_similarity(profiles.values)
    strength = inputs.subject.strength.reindex(names).to_numpy()
    for adjustment in adjustments:
        yield Coherence(
            statistic=statistic,
            adjustment=adjustment,
            names=names,
            strength=strength,
            similarity=raw if adjustment == "raw" else (lambda: cosine_similarity(centred(profiles.values))),
            published=(lambda found, random: published(raw, found, random)) if published else None,
        )


def consistency(
    inputs: TestInputs,
    ours: xr.DataArray,
    theirs: xr.DataArray,
    published: Callable[[xr.DataArray, xr.DataArray], float] | None = None,
    statistic: str = "consistency",
    strength: pd.Series | None = None,
) -> Whole:
    """Return the second-order agreement of two models: Mantel correlation of their similarity matrices.

    Second-order, because first-order agreement of models that share an initialisation shows the seed (methods.md,
    Rules for all statistics). Profiles are [perturbation, feature], or [set, perturbation, feature] where cell sets
    give a noise ceiling. With `strength` of the perturbations it is held (`statistics.mantel`).
    """
    names = sorted(set(ours.perturbation.values) & set(theirs.perturbation.values))
    mine, other = (each.sel(perturbation=names) for each in (ours, theirs))
    sides = [mine, in_order_of(mine, other)]
    means = [each.mean("set") if "set" in each.dims else each for each in sides]
    held = None if strength is None else strength.reindex(names).to_numpy()
    return Whole(
        statistic=statistic,
        names=names,
        shared_initialisation=True,
        test=lambda m, random: mantel(*map(_similarity, means), m, random, strength=held),
        published=(lambda: (published(*means), np.nan)) if published else None,
        ceiling=(lambda random: second_order_ceiling(inputs, sides, random)) if "set" in ours.dims else None,
    )


def _similarity(profiles: xr.DataArray) -> np.ndarray:
    return cosine_similarity(centred(profiles.values))


def second_order_ceiling(
    inputs: TestInputs, sides: Sequence[xr.DataArray], random: np.random.Generator
) -> Ceiling | str:
    """Return how far the similarities of profiles [set, perturbation, feature] could agree; why not with one set."""
    if not per_set(*sides):
        return ONE_SET
    n = sides[0].sizes["perturbation"]
    upper = np.triu_indices(n, 1)
    pairs = [np.stack([cosine_similarity(centred(each))[upper] for each in side.values]) for side in sides]
    return noise_ceiling(*pairs, pair_weights(n, min(inputs.bootstrap, RESAMPLES), random))


def matched_cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine [P] of each row of one array [P, F] with the same row of the other; 0 for a zero row."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
