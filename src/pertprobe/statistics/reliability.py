"""How far numbers can be relied on: noise ceilings from disjoint cell sets, intervals, the fit of a prediction.

A correlation of noisy profiles is lowered by the noise of both sides. Correlations between disjoint sets of cells of
one side measure that noise; dividing by their geometric mean removes it (Spearman 1904, Am J Psychol 15:72). Set i of
one side and set i of the other may be the same cells: these are never compared, their noise is shared.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from math import nan, sqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from pertprobe.shapes import Array, Float, Like, Num
from pertprobe.statistics.arrays import Floats, Members, Pairwise, PerUnit
from pertprobe.statistics.ranks import average_ranks

TOO_FEW = 8
"""Below this number of units the percentiles of a bootstrap are too narrow: the jackknife is used."""


def bootstrap_coherence(
    similarity: Pairwise, members: Members, n: int, rng: Generator, level: float = 0.95
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


def bootstrap_mean(values: PerUnit, n: int, rng: Generator, level: float = 0.95) -> tuple[float, float]:
    """Return (low, high) of the mean of `values` [units] from `n` resamples of units; (nan, nan) below two."""
    values = np.asarray(values, dtype=np.float64)
    if values.size < TOO_FEW:
        return jackknife((values.sum() - values) / max(values.size - 1, 1), level)
    return percentiles(values[rng.integers(values.size, size=(n, values.size))].mean(axis=1), level)


def pair_contributions(similarity: Pairwise, members: Members) -> Float[Array, " member"]:
    """Return what each member contributes to the mean similarity [P, P] over their pairs, which is the mean of these.

    The pseudo-values of the jackknife (Tukey 1958, Ann Math Stat 29:614); none below three members.
    """
    block = np.asarray(similarity, dtype=np.float64)[np.ix_(np.asarray(members), np.asarray(members))].copy()
    np.fill_diagonal(block, 0.0)
    size = len(block)
    if size < 3:
        return np.empty(0)
    left_one_out = _pair_mean(1.0 - np.eye(size), block)
    return size * _pair_mean(np.ones((1, size)), block) - (size - 1) * left_one_out


def _pair_mean(counts: Floats, block: Floats) -> Floats:
    """Return the mean over pairs of different units drawn `counts` times [k, size]; nan where there is none."""
    pairs = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
    sums = ((counts @ block) * counts).sum(axis=1)
    return np.divide(sums, pairs, out=np.full(len(counts), nan), where=pairs > 0)


def percentiles(resampled: Float[Array, " draw"], level: float) -> tuple[float, float]:
    """Return the interval of resampled estimates [k], nan left out; (nan, nan) where all are."""
    if np.isnan(resampled).all():
        return nan, nan
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def jackknife(left_one_out: Float[Array, " unit"], level: float) -> tuple[float, float]:
    """Return the interval from the estimates without each unit [size]: Student's t on size - 1 degrees of freedom."""
    size = left_one_out.size
    if size < 2 or np.isnan(left_one_out).any():
        return nan, nan
    centre = left_one_out.mean()
    half = stdtrit(size - 1, (1 + level) / 2) * sqrt((size - 1) / size * ((left_one_out - centre) ** 2).sum())
    return float(centre - half), float(centre + half)


BATCH = 2_000_000
"""Values (resamples x profiles x features) in memory at once."""
RELIABLE = 0.1
"""Below this lower bound of a reliability, dividing by it says nothing."""


class Ceiling(NamedTuple):
    """Agreement of two sides, and the most that their noise allows."""

    r: float
    """Mean correlation between set i of one side and set j != i of the other."""
    reliability_x: float
    """Mean correlation between the sets of the first side."""
    reliability_y: float
    """The same of the second."""
    ceiling: float
    """sqrt(reliability_x reliability_y): the r of profiles that agree perfectly; nan where one is negative."""
    disattenuated: float
    """r / ceiling, not clipped; nan where a reliability is too low (`note`)."""
    low: float
    """Lower end of its interval; nan without resamples."""
    high: float
    """Upper end."""
    note: str
    """Why numbers are missing; empty where none is."""


class _Parts(NamedTuple):
    """The three mean correlations, for the data (scalars) or for each resample [B]."""

    r: Floats
    x: Floats
    y: Floats

    def ratio(self) -> Floats:
        """Return r / sqrt(x y); nan where a reliability is not positive."""
        positive = (self.x > 0) & (self.y > 0)
        scale = np.sqrt(np.where(positive, self.x * self.y, 1.0))
        return np.where(positive, self.r / scale, nan)


def noise_ceiling(
    x: Num[Like, "x_set x_feature"],
    y: Num[Like, "y_set y_feature"],
    weights: Iterable[ArrayLike] | None = None,
    correlation: Literal["pearson", "spearman"] = "pearson",
    level: float = 0.95,
) -> Ceiling:
    """Return the agreement of two sides, each one profile over features measured on several sets of cells.

    Args:
        x: profiles [a, F] of one side, a >= 2 sets.
        y: profiles [b, F] of the other; set i of both sides has the same cells, or the sides share none.
        weights: one weight of each feature [F] a resample (`feature_weights`, `pair_weights`), for the interval; None =
            no interval, and reliabilities are judged by their values.
        correlation: "spearman" takes ranks of each profile, once: resamples weight them.
        level: of the interval, percentiles over resamples.

    Raises:
        ValueError: a side has fewer than two sets, or the features differ.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in (x, y))
    _check(x, y)
    profiles = np.concatenate([x, y])
    profiles = average_ranks(profiles, axis=1) if correlation == "spearman" else profiles
    profiles = profiles - profiles.mean(axis=1, keepdims=True)
    found = _Parts(*(each[0] for each in _parts(profiles, np.ones((1, profiles.shape[1])), len(x))))
    if weights is None:
        return _ceiling(found, found.x, found.y, (nan, nan))
    batches = [_parts(profiles, batch, len(x)) for batch in _batches(weights, max(1, BATCH // profiles.size))]
    drawn = _Parts(*(np.concatenate(each) for each in zip(*batches, strict=True)))
    lows = [percentiles(each, level)[0] for each in (drawn.x, drawn.y)]
    return _ceiling(found, *lows, percentiles(drawn.ratio(), level))


def mean_noise_ceiling(
    x: Num[Like, "x_set x_unit x_feature"],
    y: Num[Like, "y_set y_unit y_feature"],
    n: int,
    rng: Generator,
    correlation: Literal["pearson", "spearman"] = "pearson",
    level: float = 0.95,
) -> Ceiling:
    """Return the agreement of several units (knock-outs) together: means over units of r and of the reliabilities.

    The interval is over units: `n` resamples of them, the jackknife below 8. Units with a constant profile are left out
    and counted in the note.

    Args:
        x: profiles [a, units, F] of one side, a >= 2 sets.
        y: profiles [b, units, F] of the other.
        n: number of resamples.
        rng: numpy's generator.
        correlation: of the profiles.
        level: of the interval.

    Raises:
        ValueError: a side has fewer than two sets, or units or features differ.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in (x, y))
    _check(x, y)
    each = [noise_ceiling(x[:, unit], y[:, unit], correlation=correlation)[:3] for unit in range(x.shape[1])]
    units = np.array(each, dtype=np.float64).reshape(-1, 3)
    used = units[np.isfinite(units).all(axis=1)]
    constant = f"{len(units) - len(used)} constant profiles left out" if len(used) < len(units) else ""
    if len(used) < 2:
        found = _Parts(*used.mean(axis=0)) if len(used) else _Parts(*np.full(3, nan))
        return _ceiling(found, nan, nan, (nan, nan), constant)
    few = len(used) < TOO_FEW
    counts = 1.0 - np.eye(len(used)) if few else np.stack(list(feature_weights(len(used), n, rng)))
    drawn = _Parts(*(counts @ used / counts.sum(axis=1, keepdims=True)).T)
    interval = jackknife if few else percentiles
    lows = [interval(side, level)[0] for side in (drawn.x, drawn.y)]
    return _ceiling(_Parts(*used.mean(axis=0)), *lows, interval(drawn.ratio(), level), constant)


def feature_weights(n_features: int, n: int, rng: Generator) -> Iterator[Floats]:
    """Yield n resamples of features (genes): how often each was drawn [n_features]."""
    shares = np.full(n_features, 1 / n_features)
    return (rng.multinomial(n_features, shares).astype(np.float64) for _ in range(n))


def pair_weights(n_units: int, n: int, rng: Generator) -> Iterator[Floats]:
    """Yield n resamples of units whose pairs i < j are the features: c_i c_j [n_units (n_units - 1) / 2].

    Pairs in the order of numpy.triu_indices; a unit drawn twice forms no pair with itself.
    """
    first, second = np.triu_indices(n_units, 1)
    return (counts[first] * counts[second] for counts in feature_weights(n_units, n, rng))


def _check(x: Floats, y: Floats) -> None:
    if min(len(x), len(y)) < 2:
        raise ValueError(f"a noise ceiling needs two sets of cells on each side, got {len(x)} and {len(y)}")
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(f"a noise ceiling needs the same profiles on both sides, got {x.shape[1:]} and {y.shape[1:]}")


def _batches(weights: Iterable[ArrayLike], size: int) -> Iterator[Floats]:
    remaining = iter(weights)
    while batch := list(islice(remaining, size)):
        yield np.asarray(batch, dtype=np.float64)


def _parts(profiles: Floats, weights: Floats, n_x: int) -> _Parts:
    """Return the three mean correlations [k] under each row of weights [k, F]; the first `n_x` profiles [p, F] are x's.

    Means are over pairs of sets with different indices; nan where a profile is constant.
    """
    correlations = _weighted_correlations(profiles, weights)
    index = np.concatenate([np.arange(n_x), np.arange(len(profiles) - n_x)])
    first, second = np.triu_indices(len(index), 1)
    apart = index[first] != index[second]
    sides = (first < n_x).astype(int) + (second < n_x)  # 1: one of each side, 2: both of x, 0: both of y
    return _Parts(*(correlations[:, first, second][:, apart & (sides == side)].mean(axis=1) for side in (1, 2, 0)))


def _weighted_correlations(profiles: Floats, weights: Floats) -> Floats:
    """Return Pearson correlations [k, p, p] of centred profiles [p, F] under weights [k, F]; nan for a constant one."""
    total = weights.sum(axis=1)
    means = weights @ profiles.T / total[:, None]
    products = (weights[:, None, :] * profiles) @ profiles.T / total[:, None, None] - means[:, :, None] * means[:, None]
    spread = np.sqrt(np.maximum(np.einsum("kii->ki", products), 0.0))
    # What is constant to rounding has no direction.
    spread = np.where(spread > 1e-7 * np.abs(profiles).max(axis=1), spread, nan)
    return products / (spread[:, :, None] * spread[:, None])


def _ceiling(found: _Parts, low_x: float, low_y: float, interval: tuple[float, float], note: str = "") -> Ceiling:
    r, x, y = (float(each) for each in found)
    ceiling = sqrt(x * y) if x > 0 and y > 0 else nan
    unreliable = not (low_x >= RELIABLE and low_y >= RELIABLE)
    if np.isnan(found).any():
        said = "a profile is constant"
    elif np.isnan([low_x, low_y]).any():
        said = "too few units for the lower bound of a reliability"
    else:
        said = f"lower bound of a reliability is below {RELIABLE}" if unreliable else ""
    note = "; ".join(each for each in (said, note) if each)
    return Ceiling(r, x, y, ceiling, *((nan, nan, nan) if unreliable else (r / ceiling, *interval)), note)


class Fit(NamedTuple):
    """What a prediction says of a profile; nan where the profile, or for the slope the prediction, is 0 throughout."""

    explained: Floats
    """1 - |profile - predicted|^2 / |profile|^2 [...]: about 0, for no response is what a prediction must beat."""
    slope: Floats
    """<profile, predicted> / |predicted|^2 [...]: 1 = of the predicted size, below 1 = the response levels off."""


def fit(profiles: Num[Like, "*unit feature"], predicted: Num[Like, "*unit feature"]) -> Fit:
    """Compare profiles [..., F] with their predictions [..., F]; entries that are nan in `profiles` are left out."""
    profiles, predicted = np.asarray(profiles, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    predicted = np.where(np.isnan(profiles), np.nan, predicted)
    missed, size, foretold = (np.nansum(each**2, axis=-1) for each in (profiles - predicted, profiles, predicted))
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(size > 0, 1 - missed / size, np.nan)
        slope = np.where(foretold > 0, np.nansum(profiles * predicted, axis=-1) / foretold, np.nan)
    return Fit(explained, slope)


def curvature(whole: Num[Like, "*unit feature"], half: Num[Like, "*unit feature"]) -> Num[Like, "*unit"]:
    """Return |s(1) - 2 s(1/2)| / |s(1)| of responses [..., F] to a whole and half an intervention; nan for no response.

    s(1) - 2 s(1/2) is the second difference over the two halves: 0 for a straight line, 1/2 for a pure square.
    """
    whole, half = np.asarray(whole, dtype=np.float64), np.asarray(half, dtype=np.float64)
    size = np.sqrt(np.nansum(whole**2, axis=-1))
    bent = np.sqrt(np.nansum((whole - 2 * half) ** 2, axis=-1))
    return np.divide(bent, size, out=np.full(size.shape, np.nan), where=size > 0)


class Share(NamedTuple):
    """A ratio of means or sums over units."""

    estimate: float
    low: float
    """Lower end of its interval, not clipped."""
    high: float
    """Upper end."""


def share_of_sums(part: PerUnit, rest: PerUnit, level: float = 0.95) -> Share:
    """Return sum part / (sum part + sum rest) over units, with the jackknife interval over units.

    nan where both sums are 0; the interval also below two units. Parts and rests may be unbiased estimates of squares,
    and so below 0 where the square is nearly 0 (methods.md, Cell diagonal).
    """
    part, rest = np.asarray(part, dtype=np.float64), np.asarray(rest, dtype=np.float64)
    parts, wholes = part.sum(), (part + rest).sum()
    if wholes == 0:
        return Share(nan, nan, nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_one_out = (parts - part) / (wholes - part - rest)
    return Share(float(parts / wholes), *jackknife(left_one_out, level))
