"""What a model must be able to do: the protocol every probe speaks to."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

Capability = Literal["predict", "gradient", "stages", "set_function", "gene_space"]
"""What probes may need: `set_function` = cells in any order, `gene_space` = inputs and outputs are genes."""

Edit = Callable[[int, Tensor], Tensor]
"""Given the layer's number and its hidden states [..., T, H], returns the states that replace them."""


class Encoded(NamedTuple):
    """Cells after the encoder, before the perturbation is added."""

    residual: Tensor
    """Encoded cells [..., S, H], which a residual model adds again before its decoder."""
    tokens: Tensor
    """What is mixed [..., S, H]: the encoded cells and their batch embedding."""
    multiplicity: Tensor | None = None
    """How many identical cells each stands for [..., S]; None = one each."""


class Mixed(NamedTuple):
    """Cells after the backbone."""

    h: Tensor
    """Final hidden state of the cells [..., S, H], after the final norm, without extra tokens."""
    layers: tuple[Tensor, ...]
    """Hidden states [..., T, H], extra tokens included: 0 = the backbone's input, l = the output of block l."""


class Model(Protocol):
    """A trained model of responses to perturbations.

    `X` is always [..., S, G] in the order of `genes`; `batch` is [..., S], indices into `batches`. All stages are pure
    functions of tensors that work under `torch.func`.
    """

    genes: tuple[str, ...]
    output_genes: tuple[str, ...]
    perturbations: tuple[str, ...]
    control: str
    batches: tuple[str, ...]
    set_size: int
    n_layers: int
    capabilities: frozenset[Capability]
    card: dict[str, Any]

    def predict(self, values: Any, perturbation: str, batches: np.ndarray | Tensor | None = None) -> Tensor:
        """Return the response [..., S, G_out] of cells [..., S, G] to one perturbation, in the model's own space."""
        ...

    def predict_genes(self, values: Any, perturbation: str, batches: np.ndarray | Tensor | None = None) -> Tensor:
        """Return the response in gene space [..., S, G_out]; `predict` itself where outputs are genes."""
        ...

    def tensor(self, values: Any) -> Tensor:
        """Return cells [..., S, G] as a tensor of the model's type, on its device."""
        ...

    def batch_indices(self, batches: np.ndarray | Tensor | None) -> Tensor | None:
        """Return the indices of batch labels [..., S]; None where none are given or the model uses none."""
        ...

    @property
    def cell_positions(self) -> slice:
        """Where the cells stand among the tokens of a layer."""
        ...

    def encode_perturbations(self, names: Sequence[str]) -> Tensor:
        """Return the codes [P, H] of the perturbations called `names`."""
        ...

    def encode_cells(self, X: Tensor, batch: Tensor | None = None, multiplicity: Tensor | None = None) -> Encoded:
        """Encode cells [..., S, G]; batch None = the first label."""
        ...

    def mix(self, pert: Tensor, encoded: Encoded, edit: Edit | None = None) -> Mixed:
        """Add the perturbation code [..., H] to every cell of the set and run the backbone."""
        ...

    def decode(self, mixed: Mixed, encoded: Encoded, X: Tensor) -> Tensor:
        """Return the output [..., S, G_out] from the mixed cells, residuals included."""
        ...

    def redraw(self, seed: int, keep: Sequence[str] = ()) -> "Model":
        """Return the same architecture with freshly initialised weights, the stages named in `keep` untouched."""
        ...


def encode_each(model: Model, names: Sequence[str]) -> Tensor:
    """Return the codes [P, H] of perturbations, each encoded by itself.

    The last bit of a matrix product depends on how many rows share it, and no number may depend on the shards.
    """
    return torch.cat([model.encode_perturbations([name]) for name in names])
