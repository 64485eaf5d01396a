"""A model of one's own in pertprobe: Y = relu(X A + change of the perturbation). See custom_model.md."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.models.base import ShownModel


class LinearModel(ShownModel):
    """Implements `pertprobe.models.base.Model` without stages: every cell answers for itself."""

    n_layers, cell_positions, batches, set_size = 0, slice(None), (), 0
    capabilities = frozenset({"predict", "gradient", "gene_space", "set_function", "redraw"})

    def __init__(self, A: Any, changes: Any, genes: Any, perturbations: Any, control: str) -> None:
        """Take A [G, G], changes [P, G] and the names that go with them."""
        self.A, self.changes = torch.as_tensor(A), torch.as_tensor(changes)
        self.genes = self.output_genes = tuple(map(str, genes))
        self.perturbations, self.control = tuple(map(str, perturbations)), control
        card = {"attention": "none", "attention_source": "given", "equivariance_error": 0.0}  # shown in the report
        self.card: dict[str, Any] = {"kind": "linear", "causal": False, "warnings": [], **card}

    def tensor(self, values: Any) -> Tensor:
        """Return cells [..., S, G] as a tensor of the model's type, on its device."""
        return torch.as_tensor(values).to(self.A)

    def batch_indices(self, batches: Any) -> None:
        """Return None: the model uses no batch labels."""

    def predict(self, values: Any, perturbation: str, batches: Any = None) -> Tensor:
        """Return the response [..., S, G] of cells [..., S, G]."""
        if perturbation not in self.perturbations:
            raise PertprobeError(f"linear: perturbation '{perturbation}' is unknown")
        return torch.relu(self.tensor(values) @ self.A + self.changes[self.perturbations.index(perturbation)])

    predict_genes = predict

    def redraw(self, seed: int, keep: Any = ()) -> "LinearModel":
        """Return the model with everything it learned drawn anew; it has no stages that could be kept."""
        generator = torch.Generator().manual_seed(seed)
        A, changes = (torch.randn(each.shape, generator=generator).to(each) for each in (self.A, self.changes))
        return LinearModel(A, changes, self.genes, self.perturbations, self.control)


def load(path: str, *, dtype: torch.dtype, device: str, **_: Any) -> LinearModel:
    """Read an .npz with A, changes, genes, perturbations and control: what `kind: linear` calls."""
    with np.load(path) as file:
        weights = [torch.as_tensor(file[name]).to(device, dtype) for name in ("A", "changes")]
        return LinearModel(*weights, file["genes"], file["perturbations"], str(file["control"]))
