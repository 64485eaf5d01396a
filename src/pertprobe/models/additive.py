"""The mean shift: Y = X + the perturbation's mean observed change. The baseline whose Jacobian is the identity."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.models.base import Capability, GeneModel


class AdditiveModel(GeneModel):
    """Adds one vector per perturbation: implements `pertprobe.models.base.Model` without stages.

    dY_s/dX_s is the identity for every cell, perturbation and batch, and no cell sees another.
    """

    n_layers = 0
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
        names = {"genes": genes, "perturbations": sorted(given), "control": control}
        super().__init__("additive", **names, set_size=set_size, dtype=dtype)
        self.batches = tuple(batches)
        self.deltas = {name: torch.as_tensor(delta, dtype=dtype) for name, delta in given.items()}
        no_redraw = "additive: the mean shift cannot be re-drawn, so it has no architecture null"
        self.card |= {"perturbations": len(given), "no_redraw": no_redraw}

    def predict(self, values: Any, perturbation: str, batches: Any = None) -> Tensor:
        """Return X + delta [..., S, G]; `batches` change nothing.

        Raises:
            PertprobeError: an unknown perturbation, or another number of genes.
        """
        self.rows_of([perturbation])
        X = self.tensor(values)
        return X + self.deltas[perturbation].to(X.device)

    def _no_stages(self, *_: object, **__: object) -> NoReturn:
        """Refuse: the mean shift has no stages."""
        raise PertprobeError("additive: model has no stages")

    encode_perturbations = encode_cells = mix = decode = _no_stages
