"""What probes of profiles ask: is a program coherent, and are the same perturbations alike in two models?"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import Published, Subject, TestInputs, averaged, by_set, over_sets
from pertprobe.probes.questions import ONE_SET, Coherence, Whole, per_set
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.permutation import Test
from pertprobe.statistics.reliability import Ceiling, noise_ceiling, pair_weights
from pertprobe.statistics.similarity import centred, cosine_similarity

Reader = Callable[[xr.Dataset, str], xr.DataArray]
RESAMPLES = 199
"""Resamples of perturbations behind the interval of a second-order ceiling: there are P^2/2 numbers in each."""


def trained_profiles(subject: Subject, name: str, read: Reader = averaged) -> xr.DataArray:
    """Return a variable [perturbation, feature] of the perturbations with a trained code; with its sets if `by_set`."""
    profiles = read(subject.measurement, name)
    return profiles.sel(perturbation=subject.trained(profiles.perturbation.values))


class Sides(NamedTuple):
    """What two models hold of the perturbations that both have trained."""

    ours: xr.DataArray
    """[set, perturbation, feature]."""
    theirs: xr.DataArray
    strengths: Sequence[np.ndarray]
    """Of the perturbations in either model [P]."""

    @property
    def names(self) -> np.ndarray:
        """Perturbations."""
        return self.ours.perturbation.values

    @property
    def strength(self) -> np.ndarray:
        """Geometric mean of the two models' [P]."""
        return np.sqrt(self.strengths[0] * self.strengths[1])

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Both sides [P, F], mean over cell sets."""
        return tuple(each.mean("set").values for each in self[:2])


def sides_of(ours: Subject, theirs: Subject, variable: str) -> Sides:
    """Return what one variable holds of the perturbations that both models have trained."""
    profiles = [trained_profiles(each, variable, by_set) for each in (ours, theirs)]
    names = sorted(set(profiles[0].perturbation.values) & set(profiles[1].perturbation.values))
    mine, other = (each.sel(perturbation=names).transpose("set", "perturbation", ...) for each in profiles)
    return Sides(mine, in_order_of(mine, other), [each.strengths(names) for each in (ours, theirs)])


def in_order_of(ours: xr.DataArray, theirs: xr.DataArray) -> xr.DataArray:
    """Return profiles whose features, known by name, stand as those of another model; as they are if it has others."""
    axis = ours.dims[-1]
    names, others = (each[axis].values for each in (ours, theirs))
    return theirs.sel({axis: names}) if set(names) == set(others) else theirs


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Return the places of everyone's k nearest [P, k], the nearest first; ties go to the earlier name."""
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    return np.argsort(-others, axis=1, kind="stable")[:, :k]


def centred_cosine(profiles: np.ndarray) -> np.ndarray:
    """Return the cosines [P, P] of profiles [P, F] without their mean."""
    return cosine_similarity(centred(profiles))


def coherences(
    inputs: TestInputs,
    profiles: xr.DataArray,
    published: Published | None = None,
    statistic: str = "coherence",
    adjustments: Sequence[str] = ("centred", "raw"),
) -> Iterator[Coherence]:
    """Yield, for each adjustment, whether programs are alike by the cosine of profiles [perturbation, feature]."""
    names, raw = profiles.perturbation.values, cosine_similarity(profiles.values)
    who = {"statistic": statistic, "names": names, "strength": inputs.subject.strengths(names)}
    for adjustment in adjustments:
        similarity = raw if adjustment == "raw" else partial(centred_cosine, profiles.values)
        known = published and partial(published, raw)
        yield Coherence(adjustment=adjustment, similarity=similarity, published=known, **who)


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
    means = [over_sets(each) for each in sides]
    held = None if strength is None else strength.reindex(names).to_numpy()

    def test(m: int, random: np.random.Generator) -> Test:
        """Correlate both models' similarities."""
        return mantel(*(centred_cosine(each.values) for each in means), m, random, strength=held)

    who = {"statistic": statistic, "names": names, "first_order": True}
    known = published and (lambda _: (published(*means), np.nan))
    ceiling = partial(second_order_ceiling, inputs, sides) if "set" in ours.dims else None
    return Whole(**who, test=test, published=known, ceiling=ceiling)


def second_order_ceiling(
    inputs: TestInputs,
    sides: Sequence[xr.DataArray],
    random: np.random.Generator,
    similarity: Callable[[np.ndarray], np.ndarray] = centred_cosine,
) -> Ceiling | str:
    """Return how far the similarities of profiles [set, perturbation, feature] could agree; why not with one set."""
    if not per_set(*sides):
        return ONE_SET
    n = sides[0].sizes["perturbation"]
    pairs = [np.stack([similarity(each)[np.triu_indices(n, 1)] for each in side.values]) for side in sides]
    return noise_ceiling(*pairs, pair_weights(n, min(inputs.bootstrap, RESAMPLES), random))


def matched_cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine [P] of each row of one array [P, F] with the same row of the other; 0 for a zero row."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
