"""The atlas of all perturbations at the mean cell, written to disk, beside pull-backs of single targets."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import Row, against_floor, peak_mb, seconds
from published import ARCHITECTURE, GENES, PERTURBATIONS, backbone_operations, control_cells, points, published_model

from pertprobe.data.cell_sets import CellSets
from pertprobe.interpret.atlas import open_atlas, write_atlas
from pertprobe.interpret.jacobian import respond
from pertprobe.models.state.model import StateModel

PULLED, TARGETS = 2, 50
"""Perturbations and targets of each that the rival pulls back."""


def rows() -> list[Row]:
    """Return writing, disk and reading."""
    model = published_model("cpu")
    operations = PERTURBATIONS * ARCHITECTURE.hidden_dim * backbone_operations()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atlas.zarr"
        spent, floor = against_floor(lambda: write_atlas(model, cells_of(model), path), operations, 1)
        peak = peak_mb()  # before anything is read or pulled back
        disk = sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) / 1e6
        one, pair = reading(path, model.perturbations[1])
    rival = pulled(model) * PERTURBATIONS
    work = f"atlas of {PERTURBATIONS:,} perturbations at the mean cell"
    return [
        Row(work, f"{GENES:,} pull-backs per perturbation", spent, rival / spent, floor, peak,
            limits={"seconds": ("at most", 900.0)},
            note=f"once; the rival on {TARGETS} targets of {PULLED} perturbations, scaled"),
        Row(f"{work}, on disk", value=disk, unit="MB", limits={"value": ("at most", 1000.0)}),
        Row("atlas: one perturbation, every pair of genes, read", seconds=one),
        Row("atlas: one pair of genes, every perturbation, read", seconds=pair),
    ]  # fmt: skip


def cells_of(model: StateModel) -> CellSets:
    """Return the control cells of the published size."""
    values = control_cells()
    ids = np.array([f"cell_{i}" for i in range(values.shape[1])])[None]
    return CellSets(values, model.genes, None, ids, "benchmark")


def reading(path: Path, name: str) -> tuple[float, float]:
    """Return the seconds of one perturbation whole, and of one pair of genes under every perturbation."""
    atlas = open_atlas(path)
    one = seconds(lambda: atlas.entries(perturbations=name), 3)
    return one, seconds(lambda: atlas.entries(targets="gene_1", regulators="gene_2"), 3)


def pulled(model: StateModel) -> float:
    """Return the seconds of all pull-backs of one perturbation, from a share of the targets."""
    point, _ = points(model, control_cells())

    def some() -> None:
        """Predict once and pull a share of the targets back."""
        for name in model.perturbations[1 : 1 + PULLED]:
            X = point.X.clone().requires_grad_()
            output = respond(model, model.encode_perturbations([name])[0], point, X)[0, 0]
            for target in range(TARGETS):
                torch.autograd.grad(output[target], X, retain_graph=True)

    return seconds(some) * GENES / TARGETS / PULLED
