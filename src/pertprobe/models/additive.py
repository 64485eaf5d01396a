"""The mean shift: Y = X + the perturbation's mean observed change. The baseline whose Jacobian is the identity."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from pertprobe.errors import PertprobeError, unknown_name
from pertprobe.models.base import Capability, checked_cells


class AdditiveModel:
    """Adds one vector per perturbation: implements `pertprobe.models.base.Model` without stages.

    dY_s/dX_s is the identity for every cell, perturbation and batch, and no cell sees another.
    """

    n_layers = 0
    cell_positions = slice(None)
    capabilities: frozenset[Capability] = frozenset({"predict", "gradient", "gene_space", "set_function"})

    def __init__(
        self,
        deltas: Mapping[str, np.ndarray],
        *,
        genes: Sequence[str],
        control: str,
        batches: Sequence[str] = (),
        set_size: int = 32,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the mean observed change [G] of each perturbation; the control's is zero unless given.

        Raises:
            PertprobeError: a change has another length than `genes`, or is not finite.
        """
        given = {control: np.zeros(len(genes))} | dict(deltas)
        for name, delta in given.items():
            if np.shape(delta) != (len(genes),) or not np.isfinite(delta).all():
                raise PertprobeError(f"additive: change of '{name}' is not {len(genes)} finite numbers, one per gene")
        self.genes = self.output_genes = self.output_features = tuple(genes)
        self.perturbations, self.control, self.batches = tuple(sorted(given)), control, tuple(batches)
        self.deltas = {name: torch.as_tensor(delta, dtype=dtype) for name, delta in given.items()}
        self.set_size, self.dtype = set_size, dtype
        self.card: dict[str, Any] = {"kind": "additive", "causal": False, "perturbations": len(given), "warnings": []}
        self.card["no_redraw"] = "additive: the mean shift cannot be re-drawn, so it has no architecture null"

    def predict(
        self, values: np.ndarray | Tensor, perturbation: str, batches: np.ndarray | Tensor | Sequence | None = None
    ) -> Tensor:
        """Return X + delta [..., S, G]; `batches` change nothing.

        Raises:
            PertprobeError: an unknown perturbation, or another number of genes.
        """
        if perturbation not in self.deltas:
            raise unknown_name("additive: perturbation", perturbation, self.deltas)
        X = self.tensor(values)
        return X + self.deltas[perturbation].to(X.device)

    predict_genes = predict

    def tensor(self, values: np.ndarray | Tensor) -> Tensor:
        """Return cells [..., S, G] as a tensor of the model's type; PertprobeError for another shape."""
        return checked_cells(torch.as_tensor(values).to(self.dtype), len(self.genes), "additive")

    def batch_indices(self, batches: np.ndarray | Tensor | Sequence | None) -> None:
        """Return None: the mean shift uses no batch labels."""

    def _no_stages(self, *_: object, **__: object) -> NoReturn:
        """Refuse: the mean shift has no stages."""
        raise PertprobeError("additive: model has no stages")

    encode_perturbations = encode_cells = mix = decode = _no_stages
