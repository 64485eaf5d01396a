"""Profiles against their partners beyond what rivals foretell, and shares of what the data allow.

Rank correlations in which each profile's own output takes no part, of residuals where rivals are given; Fieller's
interval for a ratio of means.
"""

from math import nan, sqrt

import numpy as np
from scipy.special import stdtrit

from pertprobe.shapes import Array, Float, Integer, Like, Num
from pertprobe.statistics.arrays import Floats, PerUnit
from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.reliability import Share
from pertprobe.statistics.similarity import marks

NOTHING_LEFT = 1e-6
"""Share of a profile's norm below which what rivals leave of it is rounding."""


def own_ranks(values: Num[Like, "*side unit output"], own: Integer[Like, " unit"]) -> Float[Array, "*side unit output"]:
    """Return the centred ranks of each profile over outputs, in which its own output takes no part (0).

    Args:
        values: profiles, of one side or several.
        own: the output that is each unit's own gene; -1 where it is not an output.
    """
    values = np.asarray(values, dtype=np.float64)
    values = np.where(marks(own, values.shape[-1]), nan, values)
    ranks = average_ranks(values.reshape(-1, values.shape[-1]), axis=1).reshape(values.shape)
    return np.nan_to_num(ranks - np.nanmean(ranks, axis=-1, keepdims=True))


def matched_beyond(
    predicted: Num[Like, "unit output"],
    observed: Num[Like, "unit output"],
    own: Integer[Like, " unit"],
    rivals: Num[Like, "rival unit output"] | None = None,
    *,
    rows: Integer[Like, " asked"] | None = None,
    of_whole: bool = False,
) -> Float[Array, "unit unit"]:
    """Correlate the ranks of profile k of one side with those of profile j of the other: r [k, j].

    The own outputs of k and of j take no part. With `rivals`, both profiles are first made residuals of the ranks of
    all rivals' answers for k, by least squares with an intercept. A profile that does not vary, or of which rivals
    leave nothing, agrees with nothing: 0.

    Args:
        predicted: what a side answers to unit k.
        observed: what is seen of unit j.
        own: the output that is each unit's own gene; -1 where it is not an output.
        rivals: what each rival answers to unit k.
        rows: the units k that are asked; None: all. Rows of others are nan.
        of_whole: what residuals agree in as a part of whole profiles, so that what is left of little counts little.
    """
    own, ours, theirs = np.asarray(own), own_ranks(predicted, own), own_ranks(observed, own)
    found = np.full((len(ours), len(theirs)), nan)
    for k in range(len(ours)) if rows is None else np.asarray(rows, dtype=np.intp):
        others = theirs.copy()
        others[:, own[k]] *= own[k] < 0  # -1 names the last output, which stays
        basis = None if rivals is None else _basis(own_ranks(np.asarray(rivals)[:, [k]], own[[k]])[:, 0])
        found[k] = _correlated(ours[k], others, basis, of_whole)
    return found


def _basis(profiles: Floats) -> Floats:
    """Return orthonormal directions [output, direction] of what profiles span."""
    directions, sizes, _ = np.linalg.svd(profiles.T, full_matrices=False)
    return directions[:, sizes > 1e-9 * max(sizes.max(initial=0.0), 1e-300)]


def _correlated(profile: Floats, others: Floats, basis: Floats | None, of_whole: bool) -> Floats:
    """Return the cosines of a centred profile [output] with others [unit, output], outside of a basis.

    `of_whole`: the products outside of it over the lengths of whole profiles.
    """
    sizes = np.linalg.norm(profile), np.linalg.norm(others, axis=1)
    if basis is not None:
        profile, others = profile - basis @ (basis.T @ profile), others - (others @ basis) @ basis.T
    left = np.linalg.norm(profile), np.linalg.norm(others, axis=1)
    varies = (left[0] > NOTHING_LEFT * sizes[0]) & (left[1] > NOTHING_LEFT * sizes[1])
    lengths = sizes if of_whole else left
    return np.divide(others @ profile, lengths[0] * lengths[1], out=np.zeros(len(others)), where=varies)


def full_length(halves: PerUnit) -> Float[Array, " unit"]:
    """Return agreements of one half with the other as those of two wholes, on average: Spearman-Brown.

    The factor is that of their mean (0 where that is negative), the same for all units, so that the scatter over units
    stays what it is. Source: Spearman (1910) and Brown (1910), British Journal of Psychology 3.
    """
    halves = np.asarray(halves, dtype=np.float64)
    return 2 * halves / (1 + max(float(halves.mean()), 0.0)) if halves.size else halves


def t_interval(values: PerUnit, level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of the mean over units: units differ, and their mean is known the worse for it.

    It is that of random effects whose sampling variances are alike, with the correction of Hartung and Knapp
    (2001, Statistics in Medicine 20, 1771-1782).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size < 2:
        return nan, nan
    half = stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / sqrt(values.size)
    return float(values.mean() - half), float(values.mean() + half)


def share_of(values: PerUnit, ceilings: PerUnit, level: float = 0.95) -> Share:
    """Return the mean of `values` as a share of that of `ceilings`, paired by unit, with Fieller's interval.

    The interval holds every share s for which mean(values - s ceilings) is not told from 0 by Student's t on n - 1
    degrees of freedom: of the ratio no normal error is assumed. The share is nan where the ceilings' mean is not above
    zero, its ends where that is not known. Source: Fieller (1954), JRSS B 16, 175-185.
    """
    values, ceilings = (np.asarray(each, dtype=np.float64) for each in (values, ceilings))
    n = values.size
    if n < 2 or ceilings.mean() <= 0:
        return Share(nan, nan, nan)
    top, bottom = values.mean(), ceilings.mean()
    (vv, vc), (_, cc) = np.cov(values, ceilings) / n
    t = stdtrit(n - 1, (1 + level) / 2) ** 2
    a, b, c = bottom**2 - t * cc, top * bottom - t * vc, top**2 - t * vv
    if a <= 0 or b**2 < a * c:
        return Share(top / bottom, nan, nan)
    half = sqrt(b**2 - a * c)
    return Share(top / bottom, (b - half) / a, (b + half) / a)
