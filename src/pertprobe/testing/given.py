"""What the checks of a model work with: the model, a few cells and perturbations, and how equal is equal."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pertprobe.data.cell_sets import CellSets
from pertprobe.interpret.jacobian.points import Point, cells_point, respond
from pertprobe.models.base import Encoded, Model

N_SETS, SET_SIZE, N_PERTURBATIONS = 2, 8, 6
"""Of what is made up: cell sets, cells in each at most, perturbations that are looked at beside the control."""
ALIKE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest difference, relative to the largest number, of two computations that should give the same."""


@dataclass(frozen=True, eq=False)
class Given:
    """A model, and what it is asked."""

    model: Model
    cells: CellSets
    held: frozenset[str] = frozenset()
    """Names of the model's tensors that were given to it, not learned."""

    @cached_property
    def names(self) -> list[str]:
        """The control and a few other perturbations, the same at every call."""
        others = sorted(set(self.model.perturbations) - {self.model.control})
        chosen = np.unique(np.linspace(0, max(len(others) - 1, 0), N_PERTURBATIONS).astype(int))
        return [self.model.control, *(others[place] for place in chosen if others)]

    @cached_property
    def labels(self) -> np.ndarray | None:
        """The batch label of each cell, where the model has labels and the cells do."""
        return self.cells.batches if len(self.model.batches) else None

    @cached_property
    def X(self) -> Tensor:
        """The cells [n_sets, S, G] as the model takes them."""
        return self.model.tensor(self.cells.values)

    @cached_property
    def batch(self) -> Tensor | None:
        """The indices of the cells' batches [n_sets, S]."""
        return self.model.batch_indices(self.labels)

    @cached_property
    def point(self) -> Point:
        """The cells with their batches."""
        return cells_point(self.cells.values, self.batch, self.X)

    @property
    def alike(self) -> float:
        """How far two computations of the same may differ."""
        return ALIKE.get(self.X.dtype, 1e-2)

    def can(self, capability: str) -> bool:
        """Return whether the model declares a capability."""
        return capability in self.model.capabilities

    def predict(self, perturbation: str, model: Any = None) -> Tensor:
        """Return the response [n_sets, S, G_out] of the model, or of another, to one perturbation."""
        return (model or self.model).predict(self.cells.values, perturbation, self.labels)

    def responses(self, model: Any = None) -> Tensor:
        """Return the mean response to each of `names` [P, G_out], in float64."""
        return torch.stack([self.predict(name, model).double().mean((0, 1)) for name in self.names])

    def encoded(self, model: Any = None) -> Encoded:
        """Return the encoded cells."""
        return (model or self.model).encode_cells(self.X, self.batch)

    def code(self, name: str | None = None) -> Tensor:
        """Return the code [H] of a perturbation, of the last of `names` unless one is given."""
        return self.model.encode_perturbations([name or self.names[-1]])[0]

    def composed(self, name: str) -> Tensor:
        """Return the response by the stages [n_sets, S, G_out]."""
        return respond(self.model, self.code(name), self.point)


def made_up_cells(model: Model) -> CellSets:
    """Return random cells of a model's genes, in sets of its size but no larger than `SET_SIZE`."""
    rng = np.random.default_rng(0)
    shape = (N_SETS, min(model.set_size or SET_SIZE, SET_SIZE))
    values = rng.random((*shape, len(model.genes)), dtype=np.float32)
    labels = rng.choice(np.array(model.batches), shape) if len(model.batches) else None
    ids = np.array([f"cell {i}" for i in range(shape[0] * shape[1])]).reshape(shape)
    return CellSets(values, tuple(model.genes), labels, ids, "made up")


def error(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest number expected; infinite for another shape or nan."""
    if found.shape != expected.shape:
        return float("inf")
    difference = (found.double() - expected.double()).abs().max()
    size = expected.double().abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return float(torch.nan_to_num(difference / size, nan=torch.inf)) if difference != 0 else 0.0


def shape_of(value: Any) -> str:
    """Return the shape of what should be a tensor, in words."""
    return str(tuple(value.shape)) if hasattr(value, "shape") else f"a {type(value).__name__}"
