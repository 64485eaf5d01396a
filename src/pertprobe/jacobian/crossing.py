"""How much of a derivative crosses cells."""

from typing import NamedTuple

from torch import Tensor


class Crossing(NamedTuple):
    """Squared Frobenius norms of a block, of which the share that crosses cells is across / (within + across)."""

    within: Tensor
    """Of the diagonal, one cell's output by its own input [P, n_sets]."""
    across: Tensor
    """Of the total less the diagonal, by the other cells' inputs [P, n_sets]."""


def crossing(halves: Tensor, total: Tensor) -> Crossing:
    """Return both norms from two independent estimates of the diagonal [P, 2, n_sets, T, R], and the total.

    The inner product of two independent unbiased estimates has the squared norm as its mean, where the squared norm of
    their average is too large by its variance (methods.md, The derivative engine). A norm that is nearly 0 may come out
    below 0.
    """
    first, second = halves[:, 0], halves[:, 1]
    return Crossing((first * second).sum((-2, -1)), ((total - first) * (total - second)).sum((-2, -1)))
