"""Power of a permutation test against members that stand out by d standard deviations of the per-unit score."""

import numpy as np
from scipy.special import ndtr, ndtri


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
