"""State models frozen at one input: the same stages run with the factors of that input.

Source: methods.md, Detached Jacobian.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pertprobe.models.state.layers import DetachedNonlinearities, RecordedNonlinearities

if TYPE_CHECKING:
    from pertprobe.models.state.model import StateModel

CONSTANTS: dict[str, Callable[[str], bool]] = {
    "batch": lambda name: name == "batch_encoder.weight",
    "tokens": lambda name: name in ("batch_token", "confidence_token.confidence_token"),
    "bias": lambda name: name.endswith(".bias"),
}
"""Part of a prediction that depends on neither cells nor perturbation -> which weights make it."""


@dataclass(frozen=True)
class StateMap:
    """Implements `pertprobe.models.contributions.AffineMap`."""

    model: "StateModel"
    """Runs with the recorded factors: affine in cells, perturbation vector, batch rows, tokens and biases together."""
    exact: "StateModel"
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
    def _bare(self) -> "StateModel":
        return without_constants(self.model)


def freeze(
    model: "StateModel",
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
    factors, output = recorded(exact, X, vector, batch, multiplicity)
    frozen = exact.with_nonlinearities(DetachedNonlinearities(factors))
    return StateMap(frozen, exact, X, vector, output, batch, multiplicity)


def recorded(
    model: "StateModel", X: Tensor, vector: Tensor, batch: Tensor | None = None, multiplicity: Tensor | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the factors of a run, by hook point, and its output [..., S, G_out]; a pure function of its tensors."""
    recording = RecordedNonlinearities()
    output = _respond(model.with_nonlinearities(recording), X, vector, batch, multiplicity)
    return recording.factors, output


def without_constants(model: "StateModel", keep: str = "") -> "StateModel":
    """Return the model with batch rows, tokens and biases at zero, but for the part `keep` (a key of CONSTANTS)."""
    dropped = [belongs for part, belongs in CONSTANTS.items() if part != keep]
    weights = {
        name: torch.zeros_like(weight) if any(belongs(name) for belongs in dropped) else weight
        for name, weight in model.parameters.items()
    }
    return model.with_parameters(weights)


def in_double(model: "StateModel") -> "StateModel":
    """Return the model in float64; itself if it is."""
    if model.dtype == torch.float64:
        return model
    return model.with_parameters({name: weight.double() for name, weight in model.parameters.items()})


def _respond(
    model: "StateModel", X: Tensor, vector: Tensor, batch: Tensor | None, multiplicity: Tensor | None
) -> Tensor:
    encoded = model.encode_cells(X, batch, multiplicity)
    return model.decode(model.mix(model.encode_features(vector), encoded), encoded, X)
