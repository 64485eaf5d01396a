"""What units share through a few common axes, foretold from other pairs than those that are asked about.

Where all responses hold a stress axis, the more of it the more a gene is expressed, a unit agrees with itself more than
with others, and members of a program agree with each other, by that axis alone. In a matrix of pairs such axes are the
largest singular values; what they make of a pair is foretold by the pairs that its two units form with all others.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import svds

from pertprobe.shapes import Array, Bool, Float, Integer
from pertprobe.statistics.arrays import Floats, Integers, Members, Pairwise

IN_PROGRAMS = 3
"""Axes held in how alike units are, beside what a unit has with all others."""
IN_PAIRS = 1
"""The same in how a unit agrees with itself: of more, what co-variation tells of single units goes too."""
UNITS_OF_AN_AXIS = 4
"""Units outside of those that are asked about, for every axis held."""
FEWEST = 3
"""Units outside without which nothing is foretold."""
LARGE = 100
"""Units of a side from which on the leading axes alone are sought, iteratively."""
ROUNDS, SETTLED = 20, 1e-3
"""Pairs of units with themselves are foretold anew until none changes by more than this share of the spread of all, 20
times at most: each time, what is wrong with one shrinks to the share that the unit has of an axis."""


class Axes(NamedTuple):
    """What is foretold of a block of pairs [n, m]: a row's mean + a column's - that of all + left sizes right."""

    means: bool
    """Whether means are foretold; they are 0 if not."""
    rows: Floats
    columns: Floats
    mean: float
    left: Floats
    sizes: Floats
    right: Floats

    @property
    def inside(self) -> Floats:
        """What is foretold of the block itself."""
        return self.rows[:, None] + self.columns - self.mean + (self.left * self.sizes) @ self.right

    def beside(self, below: Floats, right_of: Floats) -> tuple[Floats, Floats, Floats]:
        """Return what is foretold of the pairs of others with these units, of these with others, and among others.

        Of `below` [other, m] and `right_of` [n, other] each other's shares of the axes are least squares, and what two
        others make with each other is the product of theirs (Nystrom's approximation).
        """
        own, theirs = self.means * below.mean(axis=1)[:, None], self.means * right_of.mean(axis=0)
        shares, held = self.shares(below), self.left.T @ (right_of - self.rows[:, None] - theirs + self.mean)
        with_these = own + self.columns - self.mean + (shares * self.sizes) @ self.right
        of_these = self.rows[:, None] + theirs - self.mean + self.left @ held
        return with_these, of_these, own + theirs - self.mean + shares @ held

    def shares(self, below: Floats) -> Floats:
        """Return what others have of each axis [other, axis], in the measure of `left`."""
        own = self.means * below.mean(axis=1)[:, None]
        along = (below - own - self.columns + self.mean) @ self.right.T
        return np.divide(along, self.sizes, out=np.zeros_like(along), where=self.sizes > 0)


def axes_of(pairs: Pairwise, number: int, means: bool = True) -> Axes:
    """Return the `number` leading axes of a block of pairs, with `means` those beside the means of rows and columns."""
    pairs = np.asarray(pairs, dtype=np.float64)
    rows, columns, mean = means * pairs.mean(axis=1), means * pairs.mean(axis=0), means * float(pairs.mean())
    left, sizes, right = _leading(pairs - rows[:, None] - columns + mean, number)
    return Axes(means, rows, columns, mean, left[:, :number], sizes[:number], right[:number])


def _leading(pairs: Floats, number: int) -> tuple[Floats, Floats, Floats]:
    """Return the singular vectors and values of a matrix, the `number` largest first; perhaps others after them."""
    smaller = min(pairs.shape)
    if smaller < LARGE or not number:
        return np.linalg.svd(pairs, full_matrices=False)
    start = np.random.default_rng(0).normal(size=smaller)
    left, sizes, right = svds(pairs, number, v0=start, tol=SETTLED)
    order = np.argsort(-sizes)
    return left[:, order], sizes[order], right[order]


def axes_between(pairs: Pairwise, number: int, means: bool = True) -> Axes:
    """Return the same of pairs [n, n] in which a unit's pair with itself has no say: what is foretold stands for it."""
    found = np.array(pairs, dtype=np.float64)
    between = ~np.eye(len(found), dtype=bool)
    np.fill_diagonal(found, found[between].mean())
    spread = found[between].std()
    for _ in range(ROUNDS):
        axes = axes_of(found, number, means)
        change = np.abs(np.diagonal(axes.inside) - np.diagonal(found)).max()
        np.fill_diagonal(found, np.diagonal(axes.inside))
        if change <= SETTLED * spread:
            break
    return axes


def pairs_without_axes(pairs: Pairwise, number: int, members: Members | None = None) -> Float[Array, "unit unit"]:
    """Return pairs [n, n] less what units' means and `number` common axes foretell of each.

    Neither a unit's pair with itself nor pairs of two members have a say in what is foretold. With fewer than 3 units
    that are no members nothing is.

    Args:
        pairs: agreement of unit i of one side with unit j of the other.
        number: of axes; fewer are held where fewer than 4 units an axis are no members.
        members: positions of units whose pairs with each other are asked about; None: of each its own alone.
    """
    return _left_of(np.asarray(pairs, dtype=np.float64), number, members, means=True)[0]


def _left_of(pairs: Floats, number: int, members: Members | None, means: bool) -> tuple[Floats, Integers, Axes | None]:
    """Return what is left of pairs, the positions of the units that are no members, and the axes these have."""
    asked = np.isin(np.arange(len(pairs)), () if members is None else members)
    others = np.flatnonzero(~asked)
    if others.size < FEWEST:
        return pairs, others, None
    foretold = np.empty_like(pairs)
    axes = axes_between(pairs[np.ix_(others, others)], min(number, others.size // UNITS_OF_AN_AXIS), means)
    foretold[np.ix_(others, others)] = axes.inside
    blocks = np.ix_(asked, ~asked), np.ix_(~asked, asked), np.ix_(asked, asked)
    for block, values in zip(blocks, axes.beside(pairs[blocks[0]], pairs[blocks[1]]), strict=True):
        foretold[block] = values
    return pairs - foretold, others, axes


class BeyondAxes(NamedTuple):
    """A similarity less what axes foretell that were found without a program, and how to ask sets of units the same.

    What is foretold of the program's pairs never knew them; of pairs of other sets it did. `means` makes both alike.
    """

    left: Floats
    """Similarity [P, P] less what the axes foretell; 0 of a unit with itself."""
    directions: Floats
    """What each unit has of the axes [P, axes]: orthonormal over the units that are no members."""
    members: Bool[Array, " unit"]
    """Whether a unit belongs to the program [P]."""

    def alike(self) -> Float[Array, "unit unit"]:
        """Return what is left of each pair, brought to one variance, so that no pair is extreme by being less certain.

        It is 1 - h of a unit that the axes knew, h the squares of its directions, in all of its pairs; of a member 1 in
        its pairs with these, which its own share was read from, and 1 + h in those with other members.
        """
        known = np.where(self.members, 0.0, (self.directions**2).sum(axis=1))
        unknown = np.where(self.members, (self.directions**2).sum(axis=1), 0.0)
        variance = np.outer(1 - known, 1 - known)
        variance *= np.where(np.outer(self.members, self.members), np.outer(1 + unknown, 1 + unknown), 1.0)
        return self.left / np.sqrt(np.maximum(variance, 1e-6))

    def means(self, sets: Integer[Array, "set unit"]) -> Float[Array, " set"]:
        """Return the mean over pairs of each set, as if it were foretold from others and all were as certain.

        Least squares leave residuals E of variance I - H where they knew the values, and of I + X X' where they did
        not, X the units' directions and H_TT = X X' for a set T; both are brought to variance I by the inverse root,
        from both sides (studentised residuals). A set that lies along the axes is else the less certain: it would be
        found too often.
        """
        n = sets.shape[1]
        rows = max(1, 2_000_000 // max(n * n, len(self.left)))
        parts = [self._sums(sets[start : start + rows]) for start in range(0, len(sets), rows)]
        return np.concatenate(parts) / (n * (n - 1))

    def _sums(self, sets: Integers) -> Floats:
        """Return the sum over ordered pairs of each set."""
        own, inside = self.directions[sets], self.members[sets][:, :, None]
        weights = 1 + _less_certain(np.where(inside, 0.0, own), -1) + _less_certain(np.where(inside, own, 0.0), 1)
        if 6 * sets.shape[1] < len(self.left):
            blocks = self.left[sets[:, :, None], sets[:, None, :]]
            return ((blocks @ weights[:, :, None])[:, :, 0] * weights).sum(axis=1)
        every = np.zeros((len(sets), len(self.left)))
        np.put_along_axis(every, sets, weights, axis=1)
        return ((every @ self.left) * every).sum(axis=1)


def _less_certain(own: Floats, sign: int) -> Floats:
    """Return (I + sign X X')^(-1/2) 1 - 1 of each X [set, unit, axis]: [set, unit]."""
    sizes, turned = np.linalg.eigh(np.einsum("sua,sub->sab", own, own))
    sizes = np.clip(sizes, 1e-12, 1 - 1e-6 if sign < 0 else None)
    factor = ((1 + sign * sizes) ** -0.5 - 1) / sizes
    along = np.einsum("sab,sa->sb", turned, own.sum(axis=1))
    return np.einsum("sua,sab,sb->su", own, turned, factor * along)


def beyond_axes(similarity: Pairwise, number: int, members: Members) -> BeyondAxes:
    """Find the `number` leading axes of a symmetric similarity [P, P] without a program, and take them away.

    As `pairs_without_axes`, but for the means of units, which a similarity without the shared effect does not have;
    with fewer than 3 units that are no members nothing is taken away.
    """
    similarity = np.array(similarity, dtype=np.float64)
    np.fill_diagonal(similarity, 0.0)
    left, others, axes = _left_of(similarity, number, members, means=False)
    directions = np.zeros((len(left), 0 if axes is None else axes.sizes.size))
    inside = np.ones(len(left), dtype=bool)
    inside[others] = False
    if axes is not None:
        directions[others] = axes.left
        directions[inside] = axes.shares(similarity[np.ix_(inside, ~inside)])
    left = (left + left.T) / 2
    np.fill_diagonal(left, 0.0)
    return BeyondAxes(left, directions, inside)
