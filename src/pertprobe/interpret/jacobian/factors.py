"""Jacobians as products of thin matrices, J = left @ right, which are never multiplied out.

Source: methods.md, The derivative engine.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pertprobe.batching import MEMORY_GB, chunked

Positions = Sequence[int] | np.ndarray
"""Places of genes among a model's inputs or outputs."""


class Singular(NamedTuple):
    """The largest singular values of a Jacobian, and their vectors."""

    outputs: Tensor
    """[..., G_out, k]."""
    values: Tensor
    """[..., k], largest first."""
    inputs: Tensor
    """[..., k, G]."""


class Factors(NamedTuple):
    """Jacobians J = left @ right; leading axes are free (perturbation, set).

    Of a mean over sets the left sides are averaged: the right side is the same.
    """

    left: Tensor
    """[..., G_out, K]."""
    right: Tensor
    """[K, G], the same for all; or that of each [..., K, G], but for `reduced`."""

    def outputs(self, targets: Positions) -> "Factors":
        """Return the Jacobians of some outputs alone."""
        return Factors(self.left[..., list(targets), :], self.right)

    def rows(self, targets: Positions) -> Tensor:
        """Return whole rows [..., targets, G]."""
        return self.outputs(targets).left @ self.right

    def entries(self, targets: Positions, regulators: Positions) -> Tensor:
        """Return some entries [..., targets, regulators]."""
        return self.outputs(targets).left @ self.right[..., list(regulators)]

    def times(self, inputs: Tensor) -> Tensor:
        """Return J v [..., G_out] for v [..., G]."""
        return (self.left @ (self.right @ inputs[..., None]))[..., 0]

    def inner_products(self, other: "Factors") -> Tensor:
        """Return the Frobenius inner product with each counterpart [...]; right sides may differ."""
        return (self.left @ (self.right @ other.right.mT) * other.left).sum((-2, -1))

    def squared_norms(self) -> Tensor:
        """Return squared Frobenius norms [...]."""
        return self.inner_products(self)

    def reduced(self) -> Tensor:
        """Return matrices [..., G_out, k], k <= K, with the same inner products as the Jacobians.

        right' = Q R, Q with orthonormal columns: left R' is the Jacobian in the basis Q.
        """
        return self.left @ torch.linalg.qr(self.right.T, mode="r").R.T

    def svd(self, k: int) -> Singular:
        """Return the k largest singular values and vectors of each Jacobian, by way of matrices [G_out, K]."""
        Q, R = torch.linalg.qr(self.right.mT)
        U, s, V = torch.linalg.svd(self.left @ R.mT, full_matrices=False)
        return Singular(U[..., :k], s[..., :k], V[..., :k, :] @ Q.mT)


class Core(NamedTuple):
    """Jacobians at one cell: J = diag(open) output_weight core input_weight, as small as they can be kept."""

    core: Tensor
    """[..., D, K]."""
    open: Tensor
    """Which outputs the ReLU lets through [..., G_out], bool."""
    output_weight: Tensor
    """[G_out, D]."""
    input_weight: Tensor
    """[K, G]."""

    def factors(self) -> Factors:
        """Return the Jacobians as two factors; the left one is [..., G_out, K]."""
        return Factors(self.open[..., None] * (self.output_weight @ self.core), self.input_weight)

    def entries(self, targets: Positions, regulators: Positions) -> Tensor:
        """Return some entries [..., targets, regulators], multiplied out from the side that takes fewer products."""
        targets, regulators, (D, K) = list(targets), list(regulators), self.core.shape[-2:]
        rows, columns = self.output_weight[targets], self.input_weight[:, regulators]
        by_rows, by_columns = len(targets) * K * (D + len(regulators)), len(regulators) * D * (K + len(targets))
        found = (rows @ self.core) @ columns if by_rows <= by_columns else rows @ (self.core @ columns)
        return self.open[..., targets, None] * found

    def outputs(self, targets: Positions) -> Factors:
        """Return the Jacobians of some outputs alone, as two factors."""
        chosen = list(targets)
        return self._replace(open=self.open[..., chosen], output_weight=self.output_weight[chosen]).factors()


def gram(jacobians: Core, memory_gb: float) -> Tensor:
    """Return the inner products of all pairs of Jacobians [P, P]; their leading axis is one, P.

    Output genes are taken in blocks that fit the budget, so that no left side is ever held whole.
    """
    (P, n_outputs), core = jacobians.open.shape, jacobians.core
    found = core.new_zeros(P, P)
    fit = int(memory_gb * 1e9 / (3 * P * core.shape[-1] * core.element_size()))
    for rows in chunked(range(n_outputs), max(1, fit)):
        block = jacobians.outputs(rows).reduced().flatten(1)
        found += block @ block.T
    return found


def cosines(jacobians: Core, memory_gb: float = MEMORY_GB) -> Tensor:
    """Return the cosine similarities of all pairs of flattened Jacobians [P, P]; 0 with one that is 0."""
    found = gram(jacobians, memory_gb)
    norms = found.diagonal().clamp_min(0).sqrt()
    scale = torch.where(norms > 0, 1 / norms, torch.zeros_like(norms))
    return scale[:, None] * found * scale
