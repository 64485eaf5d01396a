"""Sets of units to compare a program with, any or of the members' strength; and what strength alone explains.

Members of a program are the stronger ones even within a narrow window of strength, where strong perturbations were more
likely to be found. With many members that small difference is larger than the spread of the null. What a polynomial of
both strength ranks explains is therefore removed before sets are compared, from the whole matrix at once: the trend
does not know which units are members.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb, exp, inf, log
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from pertprobe.shapes import Array, Float, Integer, Like, Num
from pertprobe.statistics.arrays import Floats, Integers, Members, Pairwise, PerUnit
from pertprobe.statistics.ranks import average_ranks

ENOUGH_ARRANGEMENTS = 1000
"""A strength-matched null with fewer distinct sets is widened."""
SHARE = 0.02
"""Share of all units a member may be replaced by."""
FEWEST = 5
"""The same as a number, where the share is smaller."""


class Windows(NamedTuple):
    """The strength-matched null of one program: how many sets it has, and how to draw them."""

    order: Integers
    """Positions of all units in order of strength [n_units]."""
    starts: Integers
    """First strength rank of each member's window [n], members in order of strength."""
    window: int
    """How many units, itself included, a member may be replaced by."""
    tables: Floats
    """Share of the increasing sequences up to member i that end at or before each rank of its window [n, window]."""
    arrangements: float
    """Exact number of distinct sets (infinite above 1e300)."""

    def draw(self, m: int, rng: Generator) -> Integer[Array, "{m} member"]:
        """Return sets [m, n] of positions, uniform over the distinct sets, each row in order of strength.

        Increasing sequences of ranks, from the last element backwards: each lies in its window, below the one before.
        """
        sequences = np.empty((len(self.starts), m), dtype=np.intp)
        below = np.full(m, self.order.size)
        for i in reversed(range(len(self.starts))):
            open_to = np.minimum(below - self.starts[i], self.window)
            heights = rng.random(m) * self.tables[i, open_to - 1]
            below = self.starts[i] + np.searchsorted(self.tables[i], heights, side="right")
            sequences[i] = below
        return self.order[sequences].T


def uniform_sets(n_members: int, n_units: int, m: int, rng: Generator) -> Integer[Array, "set {n_members}"]:
    """Return sets of distinct units [m, n_members], uniform; all C(n_units, n_members) of them where they are <= m.

    Drawn sets come in random order: their first s units are a uniform set of s.
    """
    if comb(n_units, n_members) <= m:
        return np.array(list(combinations(range(n_units), n_members)), dtype=np.intp).reshape(-1, n_members)
    # Few of many: most rows of independent units are distinct.
    draw = _redrawn if n_members * n_members < n_units else random_orders
    rows = max(1, 4_000_000 // n_units)
    return np.concatenate([draw(min(rows, m - start), n_members, n_units, rng) for start in range(0, m, rows)])


def random_orders(m: int, n: int, n_units: int, rng: Generator) -> Integer[Array, "{m} {n}"]:
    """Return the first n units of m random orders of all units [m, n]; the orders do not depend on n."""
    keys = rng.random((m, n_units))
    first = np.argpartition(keys, n - 1, axis=1)[:, :n]
    return np.take_along_axis(first, np.argsort(np.take_along_axis(keys, first, axis=1), axis=1), axis=1)


def _redrawn(m: int, n: int, n_units: int, rng: Generator) -> Integers:
    """Return the same distribution: rows of independent units, drawn again until all are distinct."""
    sets, repeated = np.empty((m, n), dtype=np.intp), np.arange(m)
    while repeated.size:
        sets[repeated] = rng.integers(n_units, size=(repeated.size, n))
        repeated = repeated[(np.diff(np.sort(sets[repeated], axis=1), axis=1) == 0).any(axis=1)]
    return sets


def strength_windows(members: Members, strength: PerUnit, *, share: float = SHARE) -> Windows | None:
    """Return the sets of the members' own strength, or None where they do not exist.

    Each member at rank r of `strength` [n_units] may be replaced by any of the k perturbations nearest in rank, itself
    included: a window of k ranks around r, moved inwards at the ends. Draws are uniform over the *distinct sets* that
    arise without replacement. A set arises exactly if, sorted by rank, its i-th perturbation lies in the window of the
    i-th member (windows have increasing ends, so crossed assignments can be uncrossed): increasing sequences, which a
    table counts and samples exactly. k = `share` of the perturbations, at least 5, raised until 1,000 sets exist; above
    half of all perturbations there is no such null. Equal strengths are ranked by position.
    """
    order = np.argsort(np.asarray(strength), kind="stable")
    ranks = np.sort(np.argsort(order, kind="stable")[np.asarray(members)])
    for window in range(matched_number(order.size, share), order.size // 2 + 1):
        starts = np.clip(ranks - window // 2, 0, order.size - window)
        tables, log_arrangements = _increasing_sequences(starts, window)
        if log_arrangements >= log(ENOUGH_ARRANGEMENTS) - 1e-9:
            arrangements = exp(log_arrangements) if log_arrangements < 690 else inf
            return Windows(order, starts, window, tables, arrangements)
    return None


def matched_number(n_units: int, share: float = SHARE) -> int:
    """Return how many units count as of one strength: a share of all, at least 5."""
    return max(FEWEST, round(share * n_units))


def _increasing_sequences(starts: Integers, window: int) -> tuple[Floats, float]:
    """Count s_1 < ... < s_i, s_j in the j-th window: shares cumulated over s_i [n, window]; log of the total."""
    tables, log_scale, before = np.zeros((starts.size, window)), 0.0, np.ones(window)
    ranks = np.arange(window)
    for i, start in enumerate(starts):
        if i:
            # How many sequences end below each rank of this window: above the window before, all of them.
            shift = ranks + (start - starts[i - 1])
            before = np.where(shift > 0, tables[i - 1][np.clip(shift - 1, 0, window - 1)], 0.0)
        total = before.sum()
        if total == 0:
            return tables, -inf
        log_scale += log(total)
        tables[i] = np.cumsum(before / total)
    return tables, log_scale


def strength_blocks(strength: PerUnit) -> list[Integers]:
    """Return positions of units in blocks of neighbouring strength, as wide as the windows of matched sets."""
    order = np.argsort(np.asarray(strength), kind="stable")
    return np.array_split(order, max(1, order.size // matched_number(order.size)))


def orders_within(blocks: Sequence[Integers], size: int, m: int, rng: Generator) -> Integer[Array, "{m} {size}"]:
    """Return orders [m, size] in which only units of one block have changed places."""
    orders = np.empty((m, size), dtype=np.intp)
    for block in blocks:
        orders[:, block] = rng.permuted(np.tile(block, (m, 1)), axis=1)
    return orders


DEGREE = 3
"""Degree of the polynomials in strength rank."""


def strength_basis(strength: PerUnit, linear: bool = False) -> Float[Array, "unit polynomial"]:
    """Return orthonormal polynomials [n_units, k] in strength's mid-rank; with `linear`, strength itself as well.

    Raises:
        ValueError: a strength is missing or infinite.
    """
    strength = np.asarray(strength, dtype=np.float64)
    if not np.isfinite(strength).all():
        raise ValueError("strength must be finite for every unit")
    ranks = (average_ranks(strength) - 0.5) / max(strength.size, 1)
    columns = np.polynomial.legendre.legvander(2 * ranks - 1, DEGREE)
    if linear:
        columns = np.column_stack([columns, strength / max(np.abs(strength).max(initial=0.0), 1e-300)])
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > 1e-8 * sizes[0]]  # equal strengths leave fewer directions


def scores_without_strength(
    scores: Num[Like, "unit ..."], strength: PerUnit, linear: bool = True
) -> Float[Array, "unit ..."]:
    """Return scores [n_units, ...] less what strength explains: least squares on polynomials in its rank.

    With `linear` on strength itself too, because a score may grow with it without bound, where a similarity levels off.
    """
    scores, basis = np.asarray(scores, dtype=np.float64), strength_basis(strength, linear)
    return scores - basis @ (basis.T @ scores)


def pairs_without_strength(
    similarity: Pairwise, strength: PerUnit, strength_b: PerUnit | None = None
) -> Float[Array, "unit unit"]:
    """Return a similarity [P, P] less what strength explains: a_i' C b_j, least squares over pairs i != j.

    a_i are the polynomials of unit i; b_j are the same, or those of `strength_b`, the strengths on the other side of
    the similarity. The diagonal S_ii has no say, so that what matched pairs have beyond their strengths stays: that
    leaves the normal equations C - sum_i a_i a_i' C b_i b_i' = A'SB - sum_i S_ii a_i b_i'.
    """
    similarity, a = np.asarray(similarity, dtype=np.float64), strength_basis(strength)
    b = a if strength_b is None else strength_basis(strength_b)
    own = np.einsum("ik,il->ikl", a, b).reshape(len(a), -1)
    wanted = (a.T @ similarity @ b).ravel() - np.diagonal(similarity) @ own
    coefficients, *_ = np.linalg.lstsq(np.eye(wanted.size) - own.T @ own, wanted, rcond=None)
    return similarity - a @ coefficients.reshape(a.shape[1], b.shape[1]) @ b.T
