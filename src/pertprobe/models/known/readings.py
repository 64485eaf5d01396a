"""What models of known kind make of a cell: nothing, its principal components, or what a network foretells of it.

Each maps cells [..., gene] to cells; so does `rivals.autoencoder.Autoencoder`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pertprobe.shapes import Array, Num
from pertprobe.statistics.arrays import Floats, Integers

PENALTY = 0.01
"""Ridge penalty of the equations of a network, in units of the mean variance of a gene."""
FEEDBACK = 0.9
"""Largest amplification along the circles of a network: equations that amplify more have no steady state."""
DOUBLINGS = 8
"""Of the steps that a deviation is carried on: 2^8 of them, after which `FEEDBACK` has left nothing of it."""


class Reading(nn.Module):
    """mean + (X - mean) multiplied by each matrix in turn; X itself where there is none, to the last bit."""

    def __init__(self, mean: Num[Array, " gene"], *matrices: Num[Array, "_ _"]) -> None:
        """Take the mean cell and matrices [gene, ...], ..., [..., gene]."""
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.count = len(matrices)
        for i, matrix in enumerate(matrices):
            self.register_buffer(f"matrix_{i}", torch.tensor(np.ascontiguousarray(matrix), dtype=torch.float32))

    def forward(self, cells: Tensor) -> Tensor:
        """Return cells [..., gene] as they are read."""
        if not self.count:
            return cells
        found = cells - self.mean
        for i in range(self.count):
            found = found @ getattr(self, f"matrix_{i}")
        return self.mean + found


def as_they_are(cells: Num[Array, "cell gene"]) -> Reading:
    """Return the reading that changes nothing."""
    return Reading(cells.mean(axis=0))


def components(cells: Num[Array, "cell gene"], n: int) -> Reading:
    """Return the reconstruction of cells from their first n principal components."""
    given = np.asarray(cells, dtype=np.float64)
    mean = given.mean(axis=0)
    vectors = np.linalg.eigh(np.cov(given.T, bias=True))[1][:, ::-1][:, :n]
    return Reading(mean, vectors, vectors.T)


def equations(cells: Num[Array, "cell gene"], regulators: Sequence[Integers]) -> Reading:
    """Return what linear equations on a network say of cells: each gene by its regulators, fitted to these cells.

    A deviation of a gene from its mean is carried to all that it acts upon by whatever way: (I - W)^-1, the steady
    state of x = x W + deviation. Where circles amplify by more than `FEEDBACK`, W is scaled down to it.

    Args:
        cells: control cells.
        regulators: positions of the regulators of each gene.
    """
    given = np.asarray(cells, dtype=np.float64)
    weights = _weights(np.cov(given.T, bias=True), regulators)
    circles = float(np.abs(np.linalg.eigvals(weights)).max(initial=0.0))
    weights *= min(1.0, FEEDBACK / circles) if circles > 0 else 1.0
    return Reading(given.mean(axis=0), _carried_on(weights))


def _carried_on(weights: Floats) -> Floats:
    """Return (I - W)^-1 = (I + W)(I + W^2)(I + W^4)...; where no way leads from one gene to another it is exactly 0."""
    found, power = np.eye(len(weights)), weights
    for _ in range(DOUBLINGS):
        found, power = found + found @ power, power @ power
    return found


def _weights(covariance: Floats, regulators: Sequence[Integers]) -> Floats:
    """Return the weight of each regulator in each gene [regulator, gene]: ridge regressions."""
    weights = np.zeros_like(covariance)
    penalty = max(PENALTY * float(np.diagonal(covariance).mean()), 1e-12)
    for gene, own in enumerate(regulators):
        if len(own):
            together = covariance[np.ix_(own, own)] + penalty * np.eye(len(own))
            weights[own, gene] = np.linalg.solve(together, covariance[own, gene])
    return weights
