"""Intervals over units: the bootstrap over perturbations, and the jackknife where there are too few of them."""

from math import nan, sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from pertprobe.statistics.sets import Floats

TOO_FEW = 8
"""Below this number of units the percentiles of a bootstrap are too narrow: the jackknife is used."""


def bootstrap_coherence(
    similarity: ArrayLike, members: ArrayLike, n: int, rng: Generator, level: float = 0.95
) -> tuple[float, float]:
    """Return (low, high) of the mean similarity [P, P] over pairs of members, from `n` resamples of members.

    A perturbation drawn twice forms no pair with itself: those pairs have similarity 1 and would shift the whole
    interval upwards. (nan, nan) below three members.
    """
    block = np.asarray(similarity, dtype=np.float64)[np.ix_(np.asarray(members), np.asarray(members))].copy()
    np.fill_diagonal(block, 0.0)
    size = len(block)
    if size < TOO_FEW:
        return jackknife(_pair_mean(1.0 - np.eye(size), block), level)
    counts = rng.multinomial(size, np.full(size, 1 / size), size=n).astype(np.float64)
    return percentiles(_pair_mean(counts, block), level)


def bootstrap_mean(values: ArrayLike, n: int, rng: Generator, level: float = 0.95) -> tuple[float, float]:
    """Return (low, high) of the mean of `values` [units] from `n` resamples of units; (nan, nan) below two."""
    values = np.asarray(values, dtype=np.float64)
    if values.size < TOO_FEW:
        return jackknife((values.sum() - values) / max(values.size - 1, 1), level)
    return percentiles(values[rng.integers(values.size, size=(n, values.size))].mean(axis=1), level)


def _pair_mean(counts: Floats, block: Floats) -> Floats:
    """Return the mean over pairs of different units drawn `counts` times [k, size]; nan where there is none."""
    pairs = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
    sums = ((counts @ block) * counts).sum(axis=1)
    return np.divide(sums, pairs, out=np.full(len(counts), nan), where=pairs > 0)


def percentiles(resampled: Floats, level: float) -> tuple[float, float]:
    """Return the interval of resampled estimates [k], nan left out; (nan, nan) where all are."""
    if np.isnan(resampled).all():
        return nan, nan
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def jackknife(left_one_out: Floats, level: float) -> tuple[float, float]:
    """Return the interval from the estimates without each unit [size]: Student's t on size - 1 degrees of freedom."""
    size = left_one_out.size
    if size < 2 or np.isnan(left_one_out).any():
        return nan, nan
    centre = left_one_out.mean()
    half = stdtrit(size - 1, (1 + level) / 2) * sqrt((size - 1) / size * ((left_one_out - centre) ** 2).sum())
    return float(centre - half), float(centre + half)
