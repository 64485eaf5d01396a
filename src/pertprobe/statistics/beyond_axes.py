"""How alike the units of a set are beyond what units outside of it share through a few axes.

Responses share more than one effect: stress, growth, a state of the cell, of either sign. Units that lie along such an
axis are alike by it, whatever their program. For every set that is asked about, the program's own and each of its null,
axes are found among all other units, and what they foretell of the set's pairs is taken away. All sets are asked by the
same function of the similarity: of uniform sets, the permutation p is exact whatever the axes are.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import eigsh

from pertprobe.shapes import Array, Float, Integer
from pertprobe.statistics.arrays import Floats, Integers, Pairwise
from pertprobe.statistics.axes import LARGE, axes_between

IN_PROGRAMS = 3
"""Axes held in how alike the units of a program are."""
UNITS_OF_AN_AXIS = 8
"""Units outside of a set for every axis held."""
SPANNING = 3
"""Further axes of all units, beside those held, in whose span the axes of units outside a set are sought."""
INSIDE = 0.9
"""Share of an axis of all units that a set may hold before the axis is one of the set's own."""
NUMBERS = 4_000_000
"""Numbers of one kind in memory at once."""


def axes_held(number: int, n_members: int, n_units: int) -> int:
    """Return how many axes can be held where sets of n members are asked about: one for every 8 units outside."""
    return min(number, (n_units - n_members) // UNITS_OF_AN_AXIS)


class _Sets(NamedTuple):
    """What is left of sets of units, and what the axes of all others are."""

    left: Floats
    """Pairs of each set less what the others foretell [set, unit, unit]; 0 of a unit with itself."""
    shares: Floats
    """What each unit of a set has of the axes of the others [set, unit, axis]."""
    sizes: Floats
    """Of the axes [set, axis]."""
    turn: Floats
    """Directions of all units -> the axes [set, direction, axis]."""
    means: Floats
    """Mean direction of the units outside [set, direction]."""


class BeyondAxes(NamedTuple):
    """A similarity of which sets can be asked how alike they are beyond axes that all others share."""

    number: int
    """Axes held."""
    similarity: Floats
    """[unit, unit]; what axes foretell of a unit with itself stands for that."""
    directions: Floats
    """Leading directions of all units [unit, direction], orthonormal; axes of others are sought in their span."""
    along: Floats
    """similarity @ directions [unit, direction]."""

    @classmethod
    def of(cls, similarity: Pairwise, number: int) -> "BeyondAxes":
        """Find the directions that all units of a symmetric similarity [P, P] span most of."""
        similarity = np.array(similarity, dtype=np.float64)
        np.fill_diagonal(similarity, np.diagonal(axes_between(similarity, number).inside))
        directions = _leading(similarity, min(number + SPANNING, len(similarity) // 2))
        return cls(number, similarity, directions, similarity @ directions)

    def means(self, sets: Integer[Array, "set unit"]) -> Float[Array, " set"]:
        """Return the mean over pairs of each set, beyond the axes of the others, pairs brought to one variance."""
        rows = max(1, NUMBERS // (sets.shape[1] * max(sets.shape[1], 3 * self.directions.shape[1])))
        parts = (self._asked(sets[start : start + rows]) for start in range(0, len(sets), rows))
        return np.concatenate([_mean(each.left, _certain(each)) for each in parts])

    def effect(self, members: Integers) -> float:
        """Return the mean over pairs of one set, beyond the axes of the others, every pair as it is."""
        return float(_mean(self._asked(members[None]).left, np.ones((1, members.size)))[0])

    def unit_sd(self, members: Integers) -> float:
        """Return the spread, over the units outside, of their mean with the members, beyond the same axes."""
        outside = np.setdiff1d(np.arange(len(self.similarity)), members)
        found = self._asked(members[None])
        near = self.similarity[np.ix_(outside, members)]
        own = near.mean(axis=1) - self.similarity[np.ix_(outside, outside)].mean(axis=1)
        axes = (self.directions[outside] - found.means[0]) @ found.turn[0]
        return float((own - axes @ (found.sizes[0] * found.shares[0].mean(axis=0))).std(ddof=1))

    def _asked(self, sets: Integers) -> _Sets:
        """Foretell the pairs of sets from all other units.

        The similarity is taken from the mean of the units outside: where all are centred together, the others lie
        opposite of a large set, which would be foretold by that alone. Axes are those of the centred pairs of outsiders
        within the span of `directions` (Rayleigh & Ritz); a unit's share of each is that of its pairs with outsiders
        (Nystrom).
        """
        own = self.similarity[sets[:, :, None], sets[:, None]]
        directions, along = self.directions[sets], self.along[sets]
        n_outside = len(self.similarity) - sets.shape[1]
        rows = self.similarity.sum(axis=1)
        with_others = rows[sets] - own.sum(axis=2)
        among_others = rows.sum() - rows[sets].sum(axis=1) - with_others.sum(axis=1)
        means = (self.directions.sum(axis=0) - directions.sum(axis=1)) / n_outside
        inside, turned = own @ directions, directions.swapaxes(1, 2)
        along_others = along - inside
        sums = self.along.sum(axis=0) - along.sum(axis=1) - np.einsum("su,sud->sd", with_others, directions)
        mixed = turned @ along
        pairs = self.directions.T @ self.along - mixed - mixed.swapaxes(1, 2) + turned @ inside
        pairs = _centred(pairs, means, sums, among_others)
        spans = np.eye(means.shape[1]) - turned @ directions - n_outside * _outer(means, means)
        sizes, turn = _axes(pairs, spans, self.number)
        shift = (sums - among_others[:, None] * means) / n_outside
        seen = along_others - with_others[:, :, None] * means[:, None] - shift[:, None]
        shares = seen @ turn * np.divide(1, sizes, out=np.zeros_like(sizes), where=sizes > 0)[:, None]
        mean_others, level = with_others / n_outside, among_others / n_outside**2
        left = own - mean_others[:, :, None] - mean_others[:, None] + level[:, None, None]
        left -= (shares * sizes[:, None]) @ shares.swapaxes(1, 2)
        left[:, np.arange(sets.shape[1]), np.arange(sets.shape[1])] = 0.0
        return _Sets(left, shares, sizes, turn, means)


def _leading(similarity: Floats, number: int) -> Floats:
    """Return the eigenvectors of a symmetric matrix with the largest eigenvalues."""
    if len(similarity) < LARGE or not number:
        return np.linalg.eigh(similarity)[1][:, ::-1][:, :number]
    return eigsh(similarity, number, which="LA", v0=np.random.default_rng(0).normal(size=len(similarity)))[1]


def _outer(a: Floats, b: Floats) -> Floats:
    return a[:, :, None] * b[:, None]


def _centred(pairs: Floats, means: Floats, sums: Floats, total: Floats) -> Floats:
    """Return V' P S P V of V' S V, P the centring of the units outside."""
    mixed = _outer(means, sums)
    return pairs - mixed - mixed.swapaxes(1, 2) + total[:, None, None] * _outer(means, means)


def _axes(pairs: Floats, spans: Floats, number: int) -> tuple[Floats, Floats]:
    """Return sizes [set, axis] and directions [set, direction, axis] of the axes that directions span of others.

    Directions of which a set holds nearly all are its own. Axes of no positive size have size 0.
    """
    lengths, turned = np.linalg.eigh(spans)
    known = lengths > 1 - INSIDE
    whitened = turned * np.where(known, 1 / np.sqrt(np.where(known, lengths, 1.0)), 0.0)[:, None]
    sizes, turn = np.linalg.eigh(whitened.swapaxes(1, 2) @ pairs @ whitened)
    sizes = sizes[:, ::-1][:, :number]
    return np.where(sizes > 1e-9, sizes, 0.0), (whitened @ turn)[:, :, ::-1][:, :, :number]


def _certain(found: _Sets) -> Floats:
    """Return (I + X X')^(-1/2) 1 of each set's X [set, unit, axis]: [set, unit].

    What was foretold of a set from others has variance I + X X', X the set's shares of the axes, where their own pairs
    have I: both sides are multiplied by the inverse root (studentised residuals). A set that lies along the axes is
    else the less certain, and would be found too often.
    """
    shares = found.shares
    sizes, turned = np.linalg.eigh(shares.swapaxes(1, 2) @ shares)
    sizes = np.maximum(sizes, 1e-12)
    factors = ((1 + sizes) ** -0.5 - 1) / sizes
    along = factors * np.einsum("sab,sa->sb", turned, shares.sum(axis=1))
    return 1 + np.einsum("sua,sab,sb->su", shares, turned, along)


def _mean(pairs: Floats, weights: Floats) -> Floats:
    """Return the mean over the pairs of each set [set, unit, unit], diagonal 0, each times its units' weights."""
    n = pairs.shape[1]
    return ((pairs @ weights[:, :, None])[:, :, 0] * weights).sum(axis=1) / (n * (n - 1))
