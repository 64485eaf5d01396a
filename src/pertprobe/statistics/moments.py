"""Exact moments of permutation nulls, without a draw, the tail they approximate, and means over pairs of many sets.

The mean, variance and skewness over all sets of n of N units are polynomials in sums over the whole: for scores power
sums, for pairs sums over the graphs that up to three pairs can form. The tail is that of the Pearson type III
distribution with these moments (Mielke & Berry 2007, Permutation Methods, 2nd ed., ch. 2).
"""

from collections.abc import Sequence
from math import nan, perm, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincc, gammainccinv, gammaincinv, ndtr, ndtri

from pertprobe.shapes import Array, Float, Integer
from pertprobe.statistics.arrays import Floats, Integers, Pairwise, PerUnit

NO_SKEW = 1.6e-5
"""Skewness below which a Pearson type III distribution is taken for a normal one, as scipy takes it."""


class Moments(NamedTuple):
    """The first three moments of a statistic over all sets of n of N units."""

    mean: float
    """Mean."""
    sd: float
    """Standard deviation."""
    skewness: float
    """Third central moment over sd cubed; nan where sd is 0."""


class PairSums(NamedTuple):
    """What the moments of every set size need of a symmetric matrix A [N, N] (its mean removed, its diagonal 0)."""

    n_units: int
    """N."""
    mean: float
    """Mean over pairs, before it is removed."""
    squares: float
    """Sum over i, j of A_ij^2."""
    rows: float
    """Sum of r_i^2, r_i = sum over j of A_ij."""
    cubes: float
    """Sum of A_ij^3."""
    squares_rows: float
    """Sum of A_ij^2 r_i."""
    rows_cubed: float
    """Sum of r_i^3."""
    paths: float
    """Sum of r_i A_ij r_j."""
    triangles: float
    """Trace of A^3."""

    @classmethod
    def of(cls, similarity: Pairwise) -> "PairSums":
        """Sum up a symmetric matrix [N, N]; one matrix product."""
        a = np.array(similarity, dtype=np.float64)
        np.fill_diagonal(a, 0.0)
        mean = a.sum() / max(a.size - len(a), 1)
        a -= mean
        np.fill_diagonal(a, 0.0)
        r, squared = a.sum(axis=1), a * a
        squares, rows, cubes = squared.sum(), r @ r, np.vdot(squared, a)
        squares_rows, rows_cubed, paths = squared.sum(axis=1) @ r, (r**3).sum(), r @ a @ r
        sums = (mean, squares, rows, cubes, squares_rows, rows_cubed, paths, np.vdot(a @ a, a))
        return cls(len(a), *map(float, sums))

    def moments(self, n: int) -> Moments:
        """Return the moments of the mean similarity over the pairs of a uniform set of n units.

        T = sum over ordered pairs of the set. T^2 and T^3 are sums over two and three pairs, sorted by how many
        distinct units v these have: v given units lie in the set with probability n(n-1)...(n-v+1) / N(N-1)...(N-v+1).
        Since A sums to 0 over all pairs, the terms of the square, and of the cube, sum to 0 over v: the last follows
        from the others.
        """
        inside = [0.0, 0.0, *(perm(n, v) / max(perm(self.n_units, v), 1) for v in range(2, 7))]
        square = _closed({2: 2 * self.squares, 3: 4 * (self.rows - self.squares)}, last=4)
        cube = _closed(self._cube(), last=6)
        pairs = n * (n - 1)
        variance = sum(inside[v] * value for v, value in square.items()) / pairs**2
        third = sum(inside[v] * value for v, value in cube.items()) / pairs**3
        return _moments(self.mean, variance, third, scale=self.squares / max(self.n_units * (self.n_units - 1), 1))

    def _cube(self) -> dict[int, float]:
        """Sort the sum over three ordered pairs by distinct units, up to 5: how often, times the sum over the graph."""
        cubes, doubled, paths, triangles = self.cubes, self.squares_rows, self.paths, self.triangles
        star = self.rows_cubed - 3 * doubled + 2 * cubes
        path = paths - 2 * doubled + cubes - triangles
        double_and_apart = 2 * cubes - 4 * doubled
        cherry_and_apart = -2 * self.rows_cubed - 4 * paths + 10 * doubled - 4 * cubes + 2 * triangles
        return {
            2: 4 * cubes,
            3: 24 * (doubled - cubes) + 8 * triangles,
            4: 6 * double_and_apart + 8 * star + 24 * path,
            5: 12 * cherry_and_apart,
        }


def score_moments(scores: PerUnit, n: int) -> Moments:
    """Return the moments of the mean of n of N scores [N] drawn without replacement.

    Irwin & Kendall 1944, Ann Eugenics 12:138."""
    scores = np.asarray(scores, dtype=np.float64)
    units, centred = scores.size, scores - scores.mean()
    second, third = float((centred**2).mean()), float((centred**3).mean())
    left = units - n
    variance = second / n * left / max(units - 1, 1)
    skewed = third / n**2 * left * (left - n) / max((units - 1) * (units - 2), 1)
    return _moments(float(scores.mean()), variance, skewed, scale=second)


def tail(estimate: float, mean: float, sd: float, skewness: float) -> float:
    """Return P(X >= estimate) of the Pearson type III distribution with these moments (normal at skewness 0).

    A null of one value (sd 0) has probability 1 up to that value and 0 above it.
    """
    if not sd > 0:
        return nan if np.isnan(sd) else float(estimate <= mean + 1e-10 * abs(mean))
    z = (estimate - mean) / sd
    if abs(skewness) < NO_SKEW:
        return float(ndtr(-z))
    root = 2 / skewness  # of the gamma distribution's shape, and its rate
    place = max(root * (z + root), 0.0)
    return float(gammaincc(root**2, place) if skewness > 0 else gammainc(root**2, place))


def tail_end(p: float, skewness: float) -> float:
    """Return the z that the standardised Pearson type III distribution exceeds with probability p; `tail` inverted."""
    if not abs(skewness) >= NO_SKEW:  # nan: no spread, no shape
        return float(-ndtri(p))
    root = 2 / skewness
    place = gammainccinv(root**2, p) if skewness > 0 else gammaincinv(root**2, p)
    return float(place / root - root)


def _closed(sums: dict[int, float], last: int) -> dict[int, float]:
    return {**sums, last: -sum(sums.values())}


def _moments(mean: float, variance: float, third: float, scale: float) -> Moments:
    """Return the moments; a variance that is rounding error of the mean or `scale` (the variance of one value) is 0."""
    if variance <= 1e-14 * scale + (1e-12 * mean) ** 2:
        return Moments(mean, 0.0, nan)
    return Moments(mean, sqrt(variance), third / variance**1.5)


GATHERED = 500_000
"""Values gathered at once: few enough for a processor's cache."""
PRODUCTS = 4_000_000
"""Entries of the indicator matrix of one matrix product."""
GATHER_COST = 100
"""Multiplications in a matrix product that take as long as gathering one pair."""


def pair_means(similarity: Float[Array, "unit unit"], sets: Integer[Array, "set member"]) -> Float[Array, " set"]:
    """Return the mean of a symmetric `similarity` [P, P] over the pairs of each set: sets [k, n] -> [k]."""
    return prefix_pair_means(similarity, sets, [sets.shape[1]])[0]


def prefix_pair_means(
    similarity: Float[Array, "unit unit"], sets: Integer[Array, "set member"], sizes: Sequence[int]
) -> Float[Array, "size set"]:
    """Return the same for the first s units of each set, for every s of `sizes` (two or more): [len(sizes), k].

    Pairs up to the size where it is dear are gathered once for all sizes; each larger size costs a matrix product.
    """
    similarity = np.ascontiguousarray(similarity, dtype=np.float64)
    # Cost of gathering the pairs of the first c units, and of one product for each size above c.
    costs = {c: GATHER_COST * c * (c - 1) / 2 + similarity.size * sum(s > c for s in sizes) for c in (0, *sizes)}
    gathered = min(costs, key=costs.__getitem__)
    sums = np.empty((len(sizes), len(sets)))
    small = [k for k, size in enumerate(sizes) if size <= gathered]
    if small:
        sums[small] = _gathered_sums(similarity, sets[:, :gathered], [sizes[k] for k in small])
    for k in set(range(len(sizes))).difference(small):
        sums[k] = _product_sums(similarity, sets[:, : sizes[k]])
    return sums / np.array([[size * (size - 1) / 2] for size in sizes])


def _gathered_sums(similarity: Floats, sets: Integers, sizes: Sequence[int]) -> Floats:
    """Return sums over pairs of the first s units, s in `sizes`, adding one unit after the other: [len(sizes), k]."""
    flat, sums, rows = similarity.ravel(), np.empty((len(sizes), len(sets))), max(1, GATHERED // sets.shape[1])
    for start in range(0, len(sets), rows):
        units = np.ascontiguousarray(sets[start : start + rows].T)
        total, after = np.zeros(units.shape[1]), {}
        for i in range(units.shape[0]):
            # "wrap" skips the check of every index, which takes as long as the rest.
            total = total + flat.take(units[i] * len(similarity) + units[:i], mode="wrap").sum(axis=0)
            after[i + 1] = total
        sums[:, start : start + rows] = [after[size] for size in sizes]
    return sums


def _product_sums(similarity: Floats, sets: Integers) -> Floats:
    """Return sums over pairs as quadratic forms of indicators, z'Sz / 2 without the diagonal: [k]."""
    diagonal, rows = np.diagonal(similarity), max(1, PRODUCTS // len(similarity))
    sums = [_quadratic(similarity, diagonal, sets[start : start + rows]) for start in range(0, len(sets), rows)]
    return np.concatenate(sums)


def _quadratic(similarity: Floats, diagonal: Floats, sets: Integers) -> Floats:
    indicators = np.zeros((len(sets), len(similarity)))
    np.put_along_axis(indicators, sets, 1.0, axis=1)
    return (np.einsum("ki,ki->k", indicators @ similarity, indicators) - diagonal[sets].sum(axis=1)) / 2
