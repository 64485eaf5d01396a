"""How well the difference of two estimates is known that are means over units, the same ones or others."""

from math import nan, sqrt

import numpy as np
from scipy.special import stdtrit

from pertprobe.shapes import Array, Float
from pertprobe.statistics.arrays import Floats

ROUNDING = 1e-12
"""Units that differ by no more than this share of their size do not differ."""


def half_width(
    ours: Float[Array, " unit"],
    theirs: Float[Array, " unit"],
    scales: tuple[float, float] = (1.0, 1.0),
    level: float = 0.95,
) -> float:
    """Return half the interval of mean(ours) / scale - mean(theirs) / scale, units drawn; nan below two on a side.

    Student's t on n - 1 degrees of freedom, n the units of the smaller side. Where both sides have the same units it is
    that of paired differences; where they have none in common, that of two samples; between the two a unit counts in
    the sides that it is in.

    Args:
        ours: what each unit contributes to the one mean [units]; nan where it takes no part.
        theirs: the same of the other, units in the same order.
        scales: what the means are divided by; the interval is nan where units differ and it is 0.
        level: of the interval.
    """
    n = min(int((~np.isnan(each)).sum()) for each in (ours, theirs))
    if n < 2:
        return nan
    mine, other = (_shares(each, scale) for each, scale in zip((ours, theirs), scales, strict=True))
    return float(stdtrit(n - 1, (1 + level) / 2) * sqrt(n / (n - 1) * ((mine - other) ** 2).sum()))


def _shares(values: Floats, scale: float) -> Floats:
    """Return by how much each unit moves the mean of `values` / `scale`; 0 for one that is not in it."""
    known = ~np.isnan(values)
    apart = np.where(known, values - values[known].mean(), 0.0)
    apart[np.abs(apart) <= ROUNDING * np.abs(values[known]).max()] = 0.0
    return np.divide(apart, (scale or nan) * known.sum(), out=np.zeros(values.shape), where=apart != 0)
