"""A model of known kind: what it makes of a cell, and a change for each perturbation. With all stages; in a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pertprobe.files import atomic
from pertprobe.models.base import Capability, Encoded, GeneModel, StraightBlocks
from pertprobe.models.known.readings import Reading
from pertprobe.models.rivals.autoencoder import Autoencoder, Size
from pertprobe.shapes import Array, Num


class KnownModel(StraightBlocks, GeneModel):
    """Y_s = f(X_s) + change of the perturbation: implements `pertprobe.models.base.Model` with every stage.

    The code is the change, and the hidden states of a cell are f(X_s), to which it is added.
    """

    n_layers = 1
    capabilities: frozenset[Capability] = frozenset(
        {"predict", "gradient", "stages", "set_function", "resume", "gene_space"}
    )

    def __init__(
        self,
        kind: str,
        reading: nn.Module,
        changes: Num[Array, "perturbation gene"] | Tensor,
        **names: Any,
    ) -> None:
        """Take f, cells [..., gene] -> cells, and the change of each perturbation; the control's is zero.

        `names`: genes, perturbations, control and set size, as `GeneModel` takes them.
        """
        super().__init__(kind, **names)
        self.reading, self.changes = reading.eval().requires_grad_(False), torch.as_tensor(changes, dtype=self.dtype)
        self.device = self.changes.device
        self.card |= {"attention": "none", "attention_source": "each cell by itself", "equivariance_error": 0.0}
        no_redraw = f"{kind}: a model of known kind has no architecture null"
        self.card |= {"encoder_saw": "control", "no_redraw": no_redraw}

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "KnownModel":
        """Move the weights, in place."""
        self.dtype, self.changes = dtype, self.changes.to(device, dtype)
        self.device = self.changes.device
        self.device = self.changes.device
        self.reading.to(device, dtype)
        return self

    def encode_perturbations(self, names: Sequence[str]) -> Tensor:
        """Return the codes [P, G] of the perturbations called `names`; PertprobeError for unknown ones."""
        return self.changes[self.rows_of(names)]

    def encode_cells(self, X: Tensor, batch: Tensor | None = None, multiplicity: Tensor | None = None) -> Encoded:
        """Return what is made of the cells; nothing goes round the blocks."""
        return Encoded(torch.zeros_like(X), self.reading(X), multiplicity)

    def decode(self, mixed: Any, encoded: Encoded, X: Tensor | None) -> Tensor:
        """Return the output [..., S, G], which is the last hidden state."""
        return mixed.h


def write_known(models: Mapping[str, KnownModel], path: str | Path) -> None:
    """Write models by kind into one file: tensors called kind/name, and the names of their axes as metadata."""
    tensors, described = {}, {}
    for kind, model in models.items():
        parts = {"changes": model.changes, **model.reading.state_dict()}
        # Copies: models may share numbers, which the format keeps once for each name.
        tensors |= {f"{kind}/{name}": each.detach().cpu().clone().contiguous() for name, each in parts.items()}
        named = {name: getattr(model, name) for name in ("genes", "perturbations", "control", "set_size")}
        size = model.reading.size if isinstance(model.reading, Autoencoder) else None
        described[kind] = {**named, "size": size}
    with atomic(path) as temporary:
        save_file(tensors, temporary, {"models": json.dumps(described)})


def read_known(path: str | Path) -> dict[str, KnownModel]:
    """Read what `write_known` wrote: kind -> model."""
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["models"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    models = {}
    for kind, said in described.items():
        own = {name.partition("/")[2]: each for name, each in tensors.items() if name.partition("/")[0] == kind}
        changes = own.pop("changes")
        models[kind] = KnownModel(kind, _reading(own, said.pop("size")), changes, **said)
    return models


def _reading(parts: Mapping[str, Tensor], size: Sequence[float] | None) -> nn.Module:
    if size is None:
        mean, *matrices = (np.asarray(parts[name]) for name in ("mean", *sorted(set(parts) - {"mean"})))
        return Reading(mean, *matrices)
    net = Autoencoder(len(parts["mean"]), Size(*size))
    net.load_state_dict(parts)
    return net
