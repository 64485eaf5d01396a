"""The model whose routing is its response: what its output owes to the code is how strongly each direction is open.

Other planted models act through few gates, whose derivatives saturate; here every coordinate of the code is a gate, and
the derivative by the code is as alike between two perturbations as their codes are, so that a strength d is known.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pertprobe.data.cell_sets import CellSets
from pertprobe.models.base import Capability, Encoded, GeneModel, Mixed
from pertprobe.models.planted.closed_form import PlantedMap, PlantedModel
from pertprobe.models.planted.linear_readout import LinearReadoutModel
from pertprobe.models.planted.materials import orthonormal_readout

WIDEST = 0.5
"""Largest deviation of a gate from that of the control, which is 1: gates stay positive."""


class GatedModel(LinearReadoutModel):
    """Y_s = X_s + e_s (exp(r_k) - 1) R; e_s is 1 for a lookup, and for a mechanism a mean of the cell's genes X_s u.

    dY_s/dr is e_s diag(exp(r_k)) R, the same in both over cells whose mean e is 1: the derivative by the code does not
    tell them apart (methods.md, Routing coherence).
    """

    capabilities: frozenset[Capability] = LinearReadoutModel.capabilities | {"affine_map"}

    def __init__(
        self, codes: Mapping[str, np.ndarray], readout: np.ndarray, reads: np.ndarray | None, **names: Any
    ) -> None:
        """Take the code r [D] of each perturbation, the control's zero, the readout R [D, G], and u [G] or None."""
        super().__init__(codes, readout, **names)
        self.reads = None if reads is None else torch.as_tensor(reads, dtype=self.dtype)
        self.card |= {"kind": "gated"}

    def decode(self, mixed: Mixed, encoded: Encoded, X: Tensor | None = None) -> Tensor:
        """Return the output [..., S, G]."""
        cells = encoded.residual
        driven = 1.0 if self.reads is None else (cells @ self.reads)[..., None]
        return cells + driven * (torch.expm1(mixed.h) @ self.readout)

    predict = GeneModel.predict  # by the stages: no mean shift says what a mechanism does to a cell

    def freeze(
        self, X: Tensor, perturbation: str, batch: None = None, multiplicity: Tensor | None = None
    ) -> "GatedMap":
        """Return the affine map at cells [..., S, G] under a perturbation; the gates are its factors."""
        gates = torch.expm1(self.encode_perturbations([perturbation])[0])
        vector = torch.tensor([float(name == perturbation) for name in self.perturbations]).to(X)
        return GatedMap(self, X, vector, self.predict(X, perturbation), gates)


class GatedMap(PlantedMap):
    """The same of a gated model: what a mechanism reads of the cell passes through gates; a lookup's are a table."""

    exact: GatedModel

    def from_cells(self, X: Tensor) -> Tensor:
        """Return what cells [..., S, G] add to the output [..., S, G]."""
        if self.exact.reads is None:
            return X
        return X + (X @ self.exact.reads)[..., None] * (self.gates @ self.exact.readout)

    def from_perturbation(self, vector: Tensor) -> Tensor:
        """Return what a one-hot [P] adds to the output [..., S, G]."""
        if self.exact.reads is not None:
            return torch.zeros_like(self.X)
        table = torch.expm1(self.exact.encode_perturbations(self.exact.perturbations)) @ self.exact.readout
        return (vector @ table).expand_as(self.X)


def gated_models(base: PlantedModel, cells: CellSets) -> dict[Literal["planted", "lookup"], GatedModel]:
    """Return the mechanism and the lookup with the names, programs and strength d of a planted model.

    exp(r) - 1 is the planted model's representation, its members shifted by d in mean cosine (`materials.loadings`),
    made small enough for gates to stay positive. Both models' mean answers over `cells` are equal.
    """
    gates = len(base.parts.effects)
    places = base.parts.codes[:, gates:-gates].double().numpy()
    others = [row for row, name in enumerate(base.perturbations) if name != base.control]
    opened = np.log1p(WIDEST * places / np.abs(places[others]).max())
    codes = {base.perturbations[row]: opened[row] for row in others}
    readout = orthonormal_readout(places.shape[1], len(base.genes), base.card["seed"])
    total = cells.for_genes(base.genes).values.mean((0, 1), dtype=np.float64).sum()
    u = np.full(len(base.genes), 1 / max(total, 1e-300))
    names: dict[str, Any] = {"genes": base.genes, "control": base.control, "set_size": base.set_size}
    reads: dict[Literal["planted", "lookup"], np.ndarray | None] = {"planted": u, "lookup": None}
    return {kind: GatedModel(codes, readout, read, **names) for kind, read in reads.items()}
