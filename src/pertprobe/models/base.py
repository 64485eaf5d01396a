"""What a model must be able to do: the protocol every probe speaks to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from pertprobe.errors import PertprobeError, listed, number_of, unknown_name
from pertprobe.showing import Shown

Asked = Literal["predict", "gradient", "stages", "set_function", "gene_space", "affine_map"]
"""What probes may need of a model: `set_function` = cells in any order, `gene_space` = inputs and outputs are genes,
`affine_map` = `freeze` gives the affine map that the model is at one input (`pertprobe.models.contributions`)."""
Offered = Literal["linear_ends", "resume", "code_features", "redraw", "parameters"]
"""What makes more of a model known, or the same sooner: `linear_ends` = it gives itself apart at its outermost Linears
(`LinearEnds`), `resume` = a run goes on from the states of a layer, `code_features` = codes are `encode_features` of
`perturbation_features` [P, F], `redraw` = the same architecture with fresh weights, `parameters` = its weights by name,
with `with_parameters(parameters, card)` and `parameters_of(stages) -> names`."""
Capability = Literal[Asked, Offered]
"""What a model says it can do; it is never asked in another way."""

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


class LinearEnds(NamedTuple):
    """A model apart at its outermost Linears: genes -> K numbers a cell -> ... -> D numbers a cell -> outputs.

    What a model may offer as `linear_ends()`, so that its Jacobians are kept as thin factors: its outputs are
    hidden @ output_weight' + a constant, through a ReLU if `relu`, and of a cell nothing but `encode_linear` is read,
    whose derivative is `input_weight`. A model whose outputs arise in another way has no `linear_ends`.
    """

    input_weight: Tensor | None
    """[K, G]; None = the identity, K = G."""
    output_weight: Tensor | None
    """[G_out, D]; None = the identity, D = G_out."""
    relu: bool
    """Whether outputs are the positive part."""
    encode_linear: Callable[[Tensor], Tensor]
    """Cells [..., S, G] -> [..., S, K], affine."""
    encode: Callable[[Tensor, Tensor | None, Tensor | None], Encoded]
    """Finishes `encode_cells`: projected cells [..., S, K], batch, multiplicity -> Encoded."""
    hidden: Callable[[Tensor, Encoded, Tensor], Tensor]
    """Code [..., H], encoded and projected cells -> what the last Linear reads [..., S, D]."""
    decode_linear: Callable[[Tensor, Sequence[int] | None], Tensor]
    """[..., S, D] -> the outputs [..., S, G_out], or those of some rows alone [..., S, len(rows)]."""


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

    def predict_genes(self, values: Any, perturbation: str, batches: np.ndarray | Tensor | None = None) -> Tensor:
        """Return the response in gene space [..., S, G_out]; `predict` itself where outputs are genes."""

    def tensor(self, values: Any) -> Tensor:
        """Return cells [..., S, G] as a tensor of the model's type, on its device."""

    def batch_indices(self, batches: np.ndarray | Tensor | None) -> Tensor | None:
        """Return the indices of batch labels [..., S]; None where none are given or the model uses none."""

    @property
    def cell_positions(self) -> slice:
        """Where the cells stand among the tokens of a layer."""

    def encode_perturbations(self, names: Sequence[str]) -> Tensor:
        """Return the codes [P, H] of the perturbations called `names`."""

    def encode_cells(self, X: Tensor, batch: Tensor | None = None, multiplicity: Tensor | None = None) -> Encoded:
        """Encode cells [..., S, G]; batch None = the first label."""

    def mix(self, pert: Tensor, encoded: Encoded, edit: Edit | None = None) -> Mixed:
        """Add the perturbation code [..., H] to every cell of the set and run the backbone."""

    def decode(self, mixed: Mixed, encoded: Encoded, X: Tensor) -> Tensor:
        """Return the output [..., S, G_out] from the mixed cells, residuals included."""

    def linear_ends(self) -> LinearEnds:
        """Return the model apart at its outermost Linears; of models with the capability `linear_ends`."""

    def resume(self, layer: int, states: Tensor) -> Mixed:
        """Return what `mix` gives from the states [..., T, H] of a layer on; of models with the capability `resume`."""

    def redraw(self, seed: int, keep: Sequence[str] = ()) -> "Model":
        """Return the same architecture with freshly initialised weights, the stages named in `keep` untouched.

        Seeds have up to 63 bits: numpy.random.default_rng takes them, RandomState (32 bits) does not.
        Of models with the capability `redraw`; the others may say in their card why they have none (`no_redraw`).
        """


class ShownModel(Shown):
    """Shows what a model is, knows and can do, as it says itself; a class of one's own may inherit it."""

    def facts(self) -> tuple[str, dict[str, object]]:
        """Return names, sizes, capabilities and what was noticed when it was loaded."""
        card, control = getattr(self, "card", {}), getattr(self, "control", "")
        names = [name for name in getattr(self, "perturbations", ()) if name != control]
        able = getattr(self, "capabilities", frozenset())
        asked = get_args(Asked)
        title = f"{type(self).__name__}: {card.get('kind', 'a model')}"
        return title, {
            "perturbations": f"{listed(names, 5)}; control {control}",
            "genes": f"{len(getattr(self, 'genes', ()))} in, {len(getattr(self, 'output_genes', ()))} out",
            "cells": f"sets of {size}" if (size := getattr(self, "set_size", 0)) else "one by one",
            "batches": listed(found, 5) if (found := getattr(self, "batches", ())) else "",
            "trained in": ", ".join(map(str, card.get("cell_types") or ())),
            "layers": layers if (layers := getattr(self, "n_layers", 0)) else "",
            "weights": _weights(self),
            "can": ", ".join(name for name in asked if name in able),
            "cannot": ", ".join(name for name in asked if name not in able),
            "untrained copies": "yes" if "redraw" in able else f"no: {card.get('no_redraw', 'it has no redraw')}",
            "warnings": "; ".join(map(str, card.get("warnings", ()))),
        }


def _weights(model: Any) -> str:
    """Return how many weights a model has, of which type and where; empty for one that does not say."""
    held = getattr(model, "parameters", None)
    if not isinstance(held, Mapping) or not held:
        return ""
    first = next(iter(held.values()))
    n = number_of(sum(each.numel() for each in held.values()), "number")
    return f"{n}, {str(first.dtype).removeprefix('torch.')} on {first.device}"


class StraightBlocks:
    """Stages of a model whose blocks hand their input on: the code is added once, and every layer is the same."""

    n_layers: int

    def mix(self, pert: Tensor, encoded: Encoded, edit: Edit | None = None) -> Mixed:
        """Add the code [..., H] to every cell; blocks hand their input on."""
        edit = edit or (lambda _, states: states)
        layers = [edit(0, encoded.tokens + pert[..., None, :])]
        for layer in range(1, self.n_layers + 1):
            layers.append(edit(layer, layers[-1]))
        return Mixed(layers[-1], tuple(layers))

    def resume(self, layer: int, states: Tensor) -> Mixed:
        """Return what `mix` gives from the states [..., S, H] of a layer on."""
        return Mixed(states, (states,) * (self.n_layers + 1 - layer))


class GeneModel(ShownModel):
    """What models made here have in common: the same genes in and out, a code for each perturbation, no batch labels.

    They bring the stages; `predict` may have a shorter way.
    """

    cell_positions = slice(None)
    batches: tuple[str, ...] = ()
    device: torch.device | None = None
    """Where the weights are; None: on whatever device the cells are."""

    def __init__(
        self,
        kind: str,
        *,
        genes: Sequence[str],
        perturbations: Sequence[str],
        control: str,
        set_size: int = 32,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the names; `control` is among `perturbations`."""
        self.kind, self.control, self.set_size, self.dtype = kind, control, set_size, dtype
        self.genes = self.output_genes = self.output_features = tuple(genes)
        self.perturbations = tuple(perturbations)
        self._known = {name: row for row, name in enumerate(self.perturbations)}
        self.card: dict[str, Any] = {"kind": kind, "causal": False, "warnings": []}

    def predict(self, values: Any, perturbation: str, batches: Any = None) -> Tensor:
        """Return Y [..., S, G] for cells [..., S, G]; `batches` change nothing.

        Raises:
            PertprobeError: an unknown perturbation, or another number of genes.
        """
        encoded = self.encoded(values)
        return self.decode(self.mix(self.encode_perturbations([perturbation])[0], encoded), encoded, None)

    def encoded(self, values: Any) -> Encoded:
        """Return what no perturbation changes of cells [..., S, G]."""
        return self.encode_cells(self.tensor(values))

    def predict_genes(self, values: Any, perturbation: str, batches: Any = None) -> Tensor:
        """Return what `predict` does: outputs are genes."""
        return self.predict(values, perturbation, batches)

    def tensor(self, values: Any) -> Tensor:
        """Return cells [..., S, G] as a tensor of the model's type; PertprobeError for another shape."""
        return checked_cells(torch.as_tensor(values).to(self.device, self.dtype), len(self.genes), self.kind)

    def batch_indices(self, batches: Any) -> None:
        """Return None: no batch labels are used."""

    def rows_of(self, names: Sequence[str]) -> list[int]:
        """Return the positions of the perturbations called `names`; PertprobeError for unknown ones."""
        return positions(names, self._known, self.kind)


def positions(names: Sequence[str], known: Mapping[str, int], what: str) -> list[int]:
    """Return the positions of perturbations; raises PertprobeError, saying `what` is asked, for unknown ones."""
    for name in names:
        if name not in known:
            raise unknown_name(f"{what}: perturbation", name, known)
    return [known[name] for name in names]


def checked_cells(X: Tensor, n_genes: int, what: str) -> Tensor:
    """Return cells [..., S, G] as they are; raises PertprobeError, naming `what` they are for, for another shape."""
    if X.ndim < 2 or X.shape[-1] != n_genes:
        wanted = f"[..., cells, {n_genes}] in the order of model.genes"
        raise PertprobeError(f"{what}: cells must be {wanted}, not {tuple(X.shape)}")
    return X


def encode_each(model: Model, names: Sequence[str]) -> Tensor:
    """Return the codes [P, H] of perturbations, each encoded by itself.

    The last bit of a matrix product depends on how many rows share it, and no number may depend on the shards.
    """
    return torch.cat([model.encode_perturbations([name]) for name in names])
