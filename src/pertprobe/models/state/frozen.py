"""State models frozen at one input: the same stages run with the factors of that input.

Source: methods.md, Detached Jacobian.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from pertprobe.models.base import Model
from pertprobe.models.state.layers import DetachedNonlinearities, OrdinaryNonlinearities, RecordedNonlinearities

CONSTANTS: dict[str, Callable[[str], bool]] = {
    "batch": lambda name: name == "batch_encoder.weight",
    "tokens": lambda name: name in ("batch_token", "confidence_token.confidence_token"),
    "bias": lambda name: name.endswith(".bias"),
}
"""Part of a prediction that depends on neither cells nor perturbation -> which weights make it."""


class Freezable(Model, Protocol):
    """A model whose stages run with any weights, and in any way of doing what is not linear."""

    dtype: torch.dtype
    parameters: dict[str, Tensor]
    nonlinearities: OrdinaryNonlinearities

    def features_of(self, names: Sequence[str]) -> Tensor:
        """Return the vectors [P, D] that perturbations are encoded from."""
        ...

    def encode_features(self, features: Tensor) -> Tensor:
        """Return the codes [..., H] of perturbation vectors [..., D]."""
        ...

    def with_parameters(self, parameters: dict[str, Tensor]) -> Self:
        """Return the model with other weights."""
        ...

    def with_nonlinearities(self, nonlinearities: OrdinaryNonlinearities) -> Self:
        """Return the model with what is not linear run in another way."""
        ...


@dataclass(frozen=True)
class StateMap:
    """Implements `pertprobe.models.contributions.AffineMap`."""

    model: Freezable
    """Runs with the recorded factors: affine in cells, perturbation vector, batch rows, tokens and biases together."""
    exact: Freezable
    """The model itself in float64."""
    X: Tensor
    vector: Tensor
    output: Tensor
    batch: Tensor | None = None
    multiplicity: Tensor | None = None

    def respond(self, X: Tensor, vector: Tensor) -> Tensor:
        """Return the affine map's output [..., S, G_out], all constants included."""
        return _respond(self.model, X, vector, self.batch, self.multiplicity)

    def from_cells(self, X: Tensor) -> Tensor:
        """Return what cells [..., S, G] add to the output [..., S, G_out]."""
        return _respond(self._bare, X, torch.zeros_like(self.vector), self.batch, self.multiplicity)

    def from_perturbation(self, vector: Tensor) -> Tensor:
        """Return what a perturbation vector [D] adds to the output [..., S, G_out]."""
        return _respond(self._bare, torch.zeros_like(self.X), vector, self.batch, self.multiplicity)

    def constants(self) -> Mapping[str, Tensor]:
        """Return what batch rows, tokens and biases add to the output [..., S, G_out], those that the model has."""
        nothing = torch.zeros_like(self.X), torch.zeros_like(self.vector)
        return {
            part: _respond(without_constants(self.model, keep=part), *nothing, self.batch, self.multiplicity)
            for part, belongs in CONSTANTS.items()
            if any(map(belongs, self.model.parameters))
        }

    @property
    def _bare(self) -> Freezable:
        return without_constants(self.model)


def freeze(
    model: Freezable,
    X: Tensor,
    perturbation: str,
    batch: Tensor | None = None,
    multiplicity: Tensor | None = None,
) -> StateMap:
    """Return the affine map that a model is at the cells [..., S, G] under a perturbation, in float64.

    Reconstruction to 1e-12 needs float64; the model's own predictions in float32 differ by their rounding.

    Raises:
        PertprobeError: the model does not know the perturbation.
    """
    exact = in_double(model)
    X, vector = X.to(torch.float64), exact.features_of([perturbation])[0]
    run = recorded(exact, X, vector, batch, multiplicity)
    frozen = exact.with_nonlinearities(DetachedNonlinearities(run.factors))
    return StateMap(frozen, exact, X, vector, run.output, batch, multiplicity)


class Run(NamedTuple):
    """One run written as factors times what passes linearly."""

    factors: dict[str, Tensor]
    """By hook point."""
    output: Tensor
    """[..., S, G_out]."""


def recorded(
    model: Freezable, X: Tensor, vector: Tensor, batch: Tensor | None = None, multiplicity: Tensor | None = None
) -> Run:
    """Return the factors of a run and its output; a pure function of its tensors."""
    recording = RecordedNonlinearities()
    output = _respond(model.with_nonlinearities(recording), X, vector, batch, multiplicity)
    return Run(recording.factors, output)


def without_constants(model: Freezable, keep: str = "") -> Freezable:
    """Return the model with batch rows, tokens and biases at zero, but for the part `keep` (a key of CONSTANTS)."""
    dropped = [belongs for part, belongs in CONSTANTS.items() if part != keep]
    weights = {
        name: torch.zeros_like(weight) if any(belongs(name) for belongs in dropped) else weight
        for name, weight in model.parameters.items()
    }
    return model.with_parameters(weights).with_nonlinearities(model.nonlinearities)


def in_double(model: Freezable) -> Freezable:
    """Return the model in float64; itself if it is."""
    if model.dtype == torch.float64:
        return model
    weights = {name: weight.double() for name, weight in model.parameters.items()}
    return model.with_parameters(weights).with_nonlinearities(model.nonlinearities)


def _respond(model: Freezable, X: Tensor, vector: Tensor, batch: Tensor | None, multiplicity: Tensor | None) -> Tensor:
    encoded = model.encode_cells(X, batch, multiplicity)
    return model.decode(model.mix(model.encode_features(vector), encoded), encoded, X)
