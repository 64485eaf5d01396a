"""Power of a permutation test against members that stand out by d sd of the per-unit score; several tests at once."""

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from pertprobe.statistics.arrays import Floats


def power(unit_sd: float, null_sd: float, alpha: float, d: float = 1.0) -> float:
    """Return the probability of p <= alpha where every member's score is d `unit_sd` higher: normal approximation.

    Phi(d unit_sd / null_sd - z_(1 - alpha)), one-sided, with the `unit_sd` and `null_sd` of a `permutation.Test`. The
    score shifts all members together; where it also scatters among members the statistic varies more than its null, and
    power lies nearer to one half than this says. 1 where the null has no spread; nan without a unit_sd.
    """
    if np.isnan(unit_sd) or np.isnan(null_sd):
        return np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.float64(d) * unit_sd / null_sd
    return float(ndtr(shift + ndtri(alpha)))


def smallest_effect(unit_sd: float, null_sd: float, alpha: float, power: float = 0.8) -> float:
    """Return the d that is found with this power: (z_(1 - alpha) + z_power) null_sd / unit_sd, as in `power`.

    nan where no unit varies.
    """
    if not unit_sd > 0:
        return np.nan
    return float((ndtri(power) - ndtri(alpha)) * null_sd / unit_sd)


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Return q-values [n] of p-values [n] (Benjamini & Hochberg 1995); nan is no test: it stays nan, uncounted."""
    p = np.asarray(p, dtype=np.float64)
    q, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        q[tested] = scipy.stats.false_discovery_control(p[tested], method="bh")
    return q
