"""How large an effect may be, whether one of interest would be found (from a permutation null); several tests at once.

The null stands for the scatter of the estimate: members that all score d sd higher move it as a whole. Means over few
pairs scatter further up than down, so its shape is that of the Pearson type III distribution with the null's skewness.
"""

from collections.abc import Mapping, Sequence
from math import exp, log, sqrt
from typing import Any, NamedTuple

import numpy as np
import scipy
from scipy.special import log_ndtr

from pertprobe.shapes import Array, Float, Like, Num
from pertprobe.statistics.moments import tail, tail_end

LEVEL = 0.9
"""Of the interval of an effect: either end by itself is missed by 5 %, the level of both one-sided tests of equivalence
(Schuirmann 1987, J Pharmacokinet Biopharm 15:657)."""


class Null(NamedTuple):
    """What power needs of a `permutation.Test`; the names are those of its fields."""

    unit_sd: float
    null_sd: float
    null_skewness: float = 0.0
    null_own: float = 0.0
    null_own_sd: float = 0.0

    @classmethod
    def of(cls, test: Mapping[str, Any]) -> "Null":
        """Read the columns of an evidence row; what it does not have is 0, but for the two spreads."""
        found = {name: test[name] for name in cls._fields}
        return cls(**{name: 0.0 if name not in cls._fields[:2] and np.isnan(x) else x for name, x in found.items()})


def power(null: Null, alpha: float, d: float = 1.0) -> float:
    """Return the probability of p <= alpha where every member's score is d `unit_sd` higher.

    One-sided: 1 - F((s' F^-1(1 - alpha) - (1 - own) shift) / s), with s = `null_sd`, shift = d `unit_sd`, F the
    standardised Pearson type III distribution. The shift is in the null in the program's own share, which moves its
    mean by own shift and widens it to s' = sqrt(s^2 + (own_sd shift)^2). 1 where the null has no spread; nan without a
    unit_sd.
    """
    if np.isnan(null.unit_sd) or np.isnan(null.null_sd):
        return np.nan
    shift = d * null.unit_sd
    if not null.null_sd > 0:
        return float(shift >= 0)
    widened = np.hypot(null.null_sd, null.null_own_sd * shift)
    needed = widened * tail_end(alpha, null.null_skewness) - (1 - null.null_own) * shift
    return tail(needed / null.null_sd, 0.0, 1.0, null.null_skewness)


def smallest_effect(null: Null, alpha: float, wanted: float = 0.8) -> float:
    """Return the d that is found with this power, the inverse of `power`; nan where no unit varies or none would be."""
    if not (null.unit_sd > 0 and null.null_sd > 0 and np.isfinite(alpha)):
        return 0.0 if null.unit_sd > 0 and null.null_sd == 0 else np.nan
    short = lambda d: power(null, alpha, d) - wanted  # noqa: E731
    most = LARGEST * null.null_sd / null.unit_sd
    return float(scipy.optimize.brentq(short, 0.0, most)) if short(0.0) < 0 < short(most) else np.nan


LARGEST = 100.0
"""The largest effect looked for, in sd of the null."""


def interval(effect: float, null_sd: float, skewness: float = 0.0, level: float = LEVEL) -> tuple[float, float]:
    """Return (low, high) of an effect: all shifts of the null that the estimate does not exclude at (1 - level) / 2."""
    high, low = (tail_end(p, skewness) for p in ((1 - level) / 2, (1 + level) / 2))
    return float(effect - high * null_sd), float(effect - low * null_sd)


def bayes_absence(effect: float, null_sd: float, scale: float) -> float:
    """Return how many times likelier an effect is where there is none than where there is one of about `scale`.

    Bayes factor of 0 against a half-normal prior of that sd on effects above 0 (Dienes 2014, Front Psychol 5:781), the
    estimate normal with `null_sd`. nan where either has no spread.
    """
    if not (null_sd > 0 and scale > 0 and np.isfinite(effect)):
        return np.nan
    z, ratio = effect / null_sd, (scale / null_sd) ** 2
    held = ratio / (1 + ratio)
    return exp(min(log(1 + ratio) / 2 - z**2 * held / 2 - log(2) - float(log_ndtr(z * sqrt(held))), 700.0))


def benjamini_hochberg(p: Num[Like, "*test"] | Sequence[float]) -> Float[Array, "*test"]:
    """Return q-values [n] of p-values [n] (Benjamini & Hochberg 1995); nan is no test: it stays nan, uncounted."""
    p = np.asarray(p, dtype=np.float64)
    q, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        q[tested] = scipy.stats.false_discovery_control(p[tested], method="bh")
    return q
