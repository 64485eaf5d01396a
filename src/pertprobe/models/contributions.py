"""A model frozen at one input, an affine map of cells and perturbation vector: what a prediction is made of."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pertprobe.models.base import Model


class AffineMap(Protocol):
    """Y = from_cells(X) + from_perturbation(vector) + the constants, exact at the input where it was frozen."""

    exact: Model
    """The model itself, not frozen, in the precision of the map."""
    X: Tensor
    """The cells [..., S, G] at which it was frozen."""
    vector: Tensor
    """The perturbation vector [D] at which it was frozen: what the model's encoder is given, a one-hot as a rule."""
    output: Tensor
    """The output [..., S, G_out] there."""

    def from_cells(self, X: Tensor) -> Tensor:
        """Return what cells [..., S, G] add to the output [..., S, G_out]; linear."""

    def from_perturbation(self, vector: Tensor) -> Tensor:
        """Return what a perturbation vector [D] adds to the output [..., S, G_out]; linear."""

    def constants(self) -> Mapping[str, Tensor]:
        """Return what the batch embedding, the extra tokens and the biases add [..., S, G_out]; absent ones are 0."""


class Contributions(NamedTuple):
    """What a prediction is the sum of, each [..., S, G_out]."""

    perturbation: Tensor
    """From the perturbation vector."""
    cells: Tensor
    """From the cells' genes."""
    batch: Tensor
    """From the batch embedding."""
    tokens: Tensor
    """From the extra tokens."""
    bias: Tensor
    """From the biases, those of norms among them."""


def contributions(frozen: AffineMap) -> Contributions:
    """Return the contributions to the prediction at the input where a map was frozen; their sum is the prediction."""
    cells, constants = frozen.from_cells(frozen.X), frozen.constants()
    named = {name: constants.get(name, torch.zeros_like(cells)) for name in ("batch", "tokens", "bias")}
    return Contributions(frozen.from_perturbation(frozen.vector).expand_as(cells), cells, **named)
