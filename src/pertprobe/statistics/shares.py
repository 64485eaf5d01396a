"""The share of one sum in two, with its interval."""

from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pertprobe.statistics.intervals import jackknife


class Share(NamedTuple):
    """A ratio of sums over units."""

    estimate: float
    """sum of parts / sum of parts and rests; nan where both sums are 0."""
    low: float
    """Lower end of its jackknife interval, not clipped; nan below two units."""
    high: float
    """Upper end."""


def share_of_sums(part: ArrayLike, rest: ArrayLike, level: float = 0.95) -> Share:
    """Return sum part / (sum part + sum rest) over units, with the jackknife interval over units.

    Parts and rests may be unbiased estimates of squares, and so below 0 where the square is nearly 0
    (methods.md, Cell diagonal).
    """
    part, rest = np.asarray(part, dtype=np.float64), np.asarray(rest, dtype=np.float64)
    parts, wholes = part.sum(), (part + rest).sum()
    if wholes == 0:
        return Share(nan, nan, nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_one_out = (parts - part) / (wholes - part - rest)
    return Share(float(parts / wholes), *jackknife(left_one_out, level))
