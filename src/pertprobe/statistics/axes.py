"""What units share through a few common axes, foretold from other pairs than those that are asked about.

Where all responses hold a stress axis, the more of it the more a gene is expressed, a unit agrees with itself more than
with others by that axis alone. In a matrix of pairs such axes are the
largest singular values; what they make of a pair is foretold by the pairs that its two units form with all others.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import svds

from pertprobe.shapes import Array, Float
from pertprobe.statistics.arrays import Floats, Members, Pairwise

IN_PAIRS = 1
"""Axes held in how a unit agrees with itself: of more, what co-variation tells of single units goes too."""
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
        own, theirs = below.mean(axis=1)[:, None], right_of.mean(axis=0)
        along = (below - own - self.columns + self.mean) @ self.right.T
        shares = np.divide(along, self.sizes, out=np.zeros_like(along), where=self.sizes > 0)
        held = self.left.T @ (right_of - self.rows[:, None] - theirs + self.mean)
        with_these = own + self.columns - self.mean + along @ self.right
        of_these = self.rows[:, None] + theirs - self.mean + self.left @ held
        return with_these, of_these, own + theirs - self.mean + shares @ held


def axes_of(pairs: Pairwise, number: int) -> Axes:
    """Return the means of a block of pairs and its `number` leading axes beside them."""
    pairs = np.asarray(pairs, dtype=np.float64)
    rows, columns, mean = pairs.mean(axis=1), pairs.mean(axis=0), float(pairs.mean())
    left, sizes, right = _leading(pairs - rows[:, None] - columns + mean, number)
    return Axes(rows, columns, mean, left[:, :number], sizes[:number], right[:number])


def _leading(pairs: Floats, number: int) -> tuple[Floats, Floats, Floats]:
    """Return the singular vectors and values of a matrix, the `number` largest first; perhaps others after them."""
    smaller = min(pairs.shape)
    if smaller < LARGE or not number:
        return np.linalg.svd(pairs, full_matrices=False)
    start = np.random.default_rng(0).normal(size=smaller)
    left, sizes, right = svds(pairs, number, v0=start, tol=SETTLED)
    order = np.argsort(-sizes)
    return left[:, order], sizes[order], right[order]


def axes_between(pairs: Pairwise, number: int) -> Axes:
    """Return the same of pairs [n, n] in which a unit's pair with itself has no say: what is foretold stands for it."""
    found = np.array(pairs, dtype=np.float64)
    between = ~np.eye(len(found), dtype=bool)
    np.fill_diagonal(found, found[between].mean())
    spread = found[between].std()
    for _ in range(ROUNDS):
        axes = axes_of(found, number)
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
    pairs = np.asarray(pairs, dtype=np.float64)
    asked = np.isin(np.arange(len(pairs)), () if members is None else members)
    others = int((~asked).sum())
    if others < FEWEST:
        return pairs
    foretold = np.empty_like(pairs)
    axes = axes_between(pairs[np.ix_(~asked, ~asked)], min(number, others // UNITS_OF_AN_AXIS))
    foretold[np.ix_(~asked, ~asked)] = axes.inside
    blocks = np.ix_(asked, ~asked), np.ix_(~asked, asked), np.ix_(asked, asked)
    for block, values in zip(blocks, axes.beside(pairs[blocks[0]], pairs[blocks[1]]), strict=True):
        foretold[block] = values
    return pairs - foretold
