"""Runs of a model in which a part of a layer's hidden states is replaced by that of another run (activation patching).

Two runs on the same cells differ by their perturbation: the corrupted run is patched from the clean one, the perturbed
run from the control's or the reverse. A patch names a part of the difference of their states at one layer: its
component along a direction, the activations of some features of a sparse autoencoder, or all of it. The corrupted run
goes on from there; layers below are not run again where the model can be resumed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pertprobe.data.cell_sets import CellSets
from pertprobe.interpret.sae.activations import layer_number
from pertprobe.models.base import Encoded, Mixed, Model

if TYPE_CHECKING:
    from pertprobe.interpret.sae import SparseAutoencoder

CHUNK = 16
"""Patches run at once."""
SILENT = 1e-10
"""A response whose square is below this share of the output's has no part that could be restored: it is rounding."""

Part = Callable[[Tensor, Tensor], Tensor]
"""Given the states of the cells [n_sets, S, H] in the corrupted and in the clean run, returns the part of their
difference (corrupted less clean) that each of K patches replaces [K, n_sets, S, H]."""


class Pair(NamedTuple):
    """A perturbation's run, to be compared with the control's on the same cells."""

    perturbation: str
    states: Tensor
    """Of the layer [n_sets, T, H], extra tokens included."""
    response: Tensor
    """Mean output over cells [n_sets, G]; less the control's it is delta_y."""


class Runs:
    """Runs of one model on the same cells, each read at one layer and continued from there."""

    def __init__(self, model: Model, cells: CellSets, layer: int | str) -> None:
        """Encode the cells and run the control once; PertprobeError for a layer that the model does not have."""
        self.model, self.layer = model, layer_number(model, layer)
        self.X = model.tensor(cells.values)
        self.encoded = model.encode_cells(self.X, model.batch_indices(cells.batches))
        self.control_states = self.states(model.control)
        self.control_response = self.response(self.control_states, model.control)

    def states(self, perturbation: str) -> Tensor:
        """Return the states of the layer under a perturbation [n_sets, T, H], extra tokens included."""
        return self._mix(perturbation).layers[self.layer]

    def pair(self, perturbation: str) -> Pair:
        """Run the model under a perturbation."""
        states = self.states(perturbation)
        return Pair(perturbation, states, self.response(states, perturbation))

    def response(self, states: Tensor, perturbation: str) -> Tensor:
        """Return the mean output over cells [..., n_sets, G] where the layer holds `states` [..., n_sets, T, H].

        The perturbation matters to a model that cannot be resumed and lets its code pass by the layer.
        """
        if "resume" in self.model.capabilities:
            mixed = self.model.resume(self.layer, states)
        else:
            mixed = self._mix(perturbation, states)
        return self.model.decode(mixed, self.encoded, self.X).mean(-2)

    def _mix(self, perturbation: str, states: Tensor | None = None) -> Mixed:
        """Run the whole backbone, the layer's states replaced where some are given."""
        code, encoded = self.model.encode_perturbations([perturbation])[0], self.encoded
        if states is None:
            return self.model.mix(code.expand(*encoded.tokens.shape[:-2], -1), encoded)
        many = states.shape[:-2]
        wide = Encoded(*(each.expand(*many, *each.shape[-2:]) for each in encoded[:2]))
        return self.model.mix(code.expand(*many, -1), wide, lambda at, given: states if at == self.layer else given)

    def patched(self, corrupted: Tensor, clean: Tensor, part: Part, perturbation: str) -> Tensor:
        """Return the mean output [K, n_sets, G] of a run whose states of the cells are patched from another.

        `corrupted` and `clean` are states [n_sets, T, H] of the layer, `perturbation` that of the corrupted run. Extra
        tokens keep what the corrupted run has.
        """
        cells = self.model.cell_positions
        found = []
        for chunk in part(corrupted[:, cells], clean[:, cells]).split(CHUNK):
            states = corrupted.repeat(len(chunk), 1, 1, 1)
            states[:, :, cells] -= chunk
            found.append(self.response(states, perturbation))
        return torch.cat(found)

    def restored(self, pair: Pair, part: Part, outputs: Tensor) -> Tensor:
        """Return the share of delta_y that goes back where the perturbed run is patched from the control's [n_sets, K].

        <Y - Y patched, delta_y> / |delta_y|^2 over the outputs that are 1 in `outputs` [K, G].
        """
        after = self.patched(pair.states, self.control_states, part, pair.perturbation)
        return self._share(pair, pair.response - after, outputs)

    def induced(self, pair: Pair, part: Part, outputs: Tensor) -> Tensor:
        """Return the share of delta_y that appears where the control's run is patched from the perturbed [n_sets, K].

        <Y control patched - Y control, delta_y> / |delta_y|^2: 1 less what a patch of all else would restore.
        """
        after = self.patched(self.control_states, pair.states, part, self.model.control)
        return self._share(pair, after - self.control_response, outputs)

    def restored_layer(self, pair: Pair) -> Tensor:
        """Return the share that goes back where every token is replaced [n_sets, 1]; below 1, a path leads around."""
        after = self.response(self.control_states, pair.perturbation)
        return self._share(pair, (pair.response - after)[None], torch.ones_like(after[:1]))

    def _share(self, pair: Pair, moved: Tensor, outputs: Tensor) -> Tensor:
        """Return the projection of a change of the output [K, n_sets, G] on delta_y, over its square [n_sets, K].

        Over the outputs that are 1 in `outputs` [K, G]; nan where delta_y is rounding.
        """
        asked = outputs[:, None, :]
        delta = pair.response - self.control_response
        squared, size = ((each.square() * asked).sum(-1) for each in (delta, self.control_response))
        return torch.where(squared > SILENT * size, (moved * delta * asked).sum(-1) / squared, torch.nan).T


def along(directions: Tensor) -> Part:
    """Return the patches that replace the component along each of K directions of length 1 [K, H]."""

    def part(corrupted: Tensor, clean: Tensor) -> Tensor:
        """Return the patches of a layer's states."""
        components = (corrupted - clean) @ directions.T
        return components.movedim(-1, 0)[..., None] * directions[:, None, None, :]

    return part


def of_features(sae: "SparseAutoencoder", features: Sequence[Sequence[int]]) -> Part:
    """Return the patches that replace the activations of K sets of features, each written by its own direction."""

    def part(corrupted: Tensor, clean: Tensor) -> Tensor:
        """Return the patches of a layer's states."""
        moved = sae.encode(corrupted) - sae.encode(clean)
        return torch.stack([moved[..., list(each)] @ sae.W_dec[list(each)] for each in features])

    return part


def unit(vectors: Tensor) -> Tensor:
    """Return vectors [K, H] at length 1; a zero vector stays zero and patches nothing."""
    return F.normalize(vectors, dim=-1, eps=torch.finfo(vectors.dtype).tiny)
