"""What is kept of whole Jacobians under many perturbations: their sketches, which keep inner products."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pertprobe.cells import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.jacobian import (
    Point,
    cells_point,
    check_multiplicity,
    feature_jacobian,
    jacobian_cores,
    mean_cell_point,
    panel_jacobian,
    respond,
    routing_jacobian,
)
from pertprobe.jacobian.points import shares
from pertprobe.models.base import encode_each
from pertprobe.probes.base import MeasureInputs
from pertprobe.progress import counted
from pertprobe.roles import SUBJECT
from pertprobe.sharding import BLOCK, cut
from pertprobe.sketching import drawn

ENTRIES = 4_000_000
"""Entries of whole Jacobians held at once, where they are made from their factors."""


class Place(NamedTuple):
    """Where derivatives are taken."""

    point: Point
    batch: str
    """The batch label of the mean cell; empty where each cell has its own."""


def place(inputs: MeasureInputs) -> Place:
    """Return the point that the settings ask for: `at`, and `cells` of a set.

    Untrained copies have all the sets of the model: with fewer, their similarities would hold more noise than its own.
    """
    model, control = inputs.model, inputs.model.encode_perturbations([inputs.model.control])[0]
    cells = regrouped(inputs.cells, inputs.settings.get("cells"))
    values, batches = cells.values, cells.batches
    if inputs.settings.get("at", "mean_cell") == "cells":
        return Place(cells_point(values, model.batch_indices(batches), control), "")
    label = commonest(cells.batches)
    indices = model.batch_indices(np.array([label])) if label else None
    point = mean_cell_point(values, None if indices is None else int(indices[0]), control)
    if inputs.role == SUBJECT:
        check_multiplicity(model, control, point)
    return Place(point, label)


def regrouped(cells: CellSets, size: int | None) -> CellSets:
    """Return the cells in sets of another size: sets are joined, or cut, in their order; cells left over are not used.

    Raises:
        PertprobeError: there are fewer cells in all.
    """
    n_sets, current = cells.values.shape[:2]
    if size is None or size == current:
        return cells
    if size > n_sets * current:
        raise PertprobeError(
            f"cells: {size} cells a set are asked for, there are {n_sets} sets of {current} in {cells.context}. Raise "
            "cells.<context>.n_sets or set_size, or ask for fewer"
        )
    number = n_sets * current // size

    def cut(values: np.ndarray | None) -> np.ndarray | None:
        """Return what belongs to cells, in sets of the size asked for."""
        if values is None:
            return None
        flat = values.reshape(n_sets * current, *values.shape[2:])[: number * size]
        return flat.reshape(number, size, *values.shape[2:])

    parts = {name: cut(getattr(cells, name)) for name in ("values", "batches", "cell_ids")}
    return replace(cells, **parts, hash="")


def commonest(batches: np.ndarray | None) -> str:
    """Return the most frequent batch label, the first in order of names among equals; empty without labels."""
    if batches is None:
        return ""
    counts = Counter(batches.ravel().tolist())
    return min(counts, key=lambda label: (-counts[label], label))


def routing_sketches(inputs: MeasureInputs, names: Sequence[str], at: Place) -> Iterator[dict[str, Tensor]]:
    """Yield, for blocks of the perturbations called `names`, numbers of each, its axis first.

    routing [P, n_sets, m]: the sketch of dY/dcode, mean over the cells of each set. delta_y [P, n_sets, G_out]: what
    the same cells answer, less their answer under the control. onehot [P, m], of the subject alone and where its codes
    are made of features: the sketch of dY/dfeatures, mean over sets.
    """
    model, size, seed = inputs.model, inputs.settings["sketch"], inputs.seed
    by_features = inputs.role == SUBJECT and hasattr(model, "encode_features")
    quiet = _mean_response(inputs, at.point, model.encode_perturbations([model.control]))
    for block in _blocks(names):
        codes = encode_each(model, block)
        J = routing_jacobian(model, codes, at.point, memory_gb=inputs.memory_gb)
        sketch = drawn(J[0, 0].numel(), size, seed, "routing")
        found = {"routing": sketch.of(J.flatten(2)), "delta_y": _mean_response(inputs, at.point, codes) - quiet}
        if by_features:
            found["onehot"] = torch.stack(
                [_by_features(inputs, name, each) for name, each in zip(block, J.mean(1), strict=True)]
            )
        yield found


def _by_features(inputs: MeasureInputs, name: str, J: Tensor) -> Tensor:
    """Return the sketch [m] of dY/dfeatures = dY/dcode times the encoder's own derivative; J [G_out, H]."""
    whole = J @ feature_jacobian(inputs.model, [name])[0].to(J)
    sketch = drawn(whole.numel(), inputs.settings["sketch"], inputs.seed, "onehot")
    return sketch.of(whole.flatten())


def _mean_response(inputs: MeasureInputs, point: Point, codes: Tensor) -> Tensor:
    """Return the mean output of the point's cells under each code [P, n_sets, G_out]."""
    weight = shares(point)[..., None]
    return torch.stack([(weight * respond(inputs.model, code, point)).sum(-2) for code in codes])


def causal_sketches(
    inputs: MeasureInputs, names: Sequence[str], at: Place, genes: Sequence[str]
) -> Iterator[dict[str, Tensor]]:
    """Yield, for blocks of perturbations, causal [P, n_sets, m]: sketches of dY/dX at the mean cell.

    Between `genes` alone, inputs and outputs in this order, so that models of other genes have the same map. No whole
    Jacobian is ever held: rows are made from the factors, of a model without `narrow` by reverse mode, and added to the
    sketch, some at a time.
    """
    model = inputs.model
    rows, columns = ([listed.index(name) for name in genes] for listed in (model.output_genes, model.genes))
    sketch = drawn(len(genes) ** 2, inputs.settings["sketch"], inputs.seed, "causal", basis(genes))
    for block in _blocks(names):
        rows_of = _rows_of(inputs, encode_each(model, block), at.point, columns)
        chunk = max(1, ENTRIES // (len(block) * len(at.point.X) * len(columns)))
        total = 0.0
        for start in range(0, len(rows), chunk):
            part = rows_of(rows[start : start + chunk])
            total = total + sketch.of(part.flatten(-2), start * len(columns))
        yield {"causal": total}


def _rows_of(
    inputs: MeasureInputs, codes: Tensor, point: Point, columns: Sequence[int]
) -> Callable[[Sequence[int]], Tensor]:
    """Return what gives some rows of the Jacobians, at some columns [P, n_sets, rows, columns]."""
    model, memory = inputs.model, {"memory_gb": inputs.memory_gb}
    if not hasattr(model, "narrow"):
        return lambda rows: panel_jacobian(model, codes, point, rows, columns, **memory).values
    cores = jacobian_cores(model, codes, point, **memory)
    return lambda rows: cores.outputs(rows).entries(range(len(rows)), columns)


def basis(genes: Sequence[str]) -> str:
    """Return what tells one list of genes from another."""
    return hashlib.sha256("\n".join(genes).encode()).hexdigest()[:16]


def _blocks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return the perturbations whose Jacobians are held at once, which no shard parts."""
    return counted(cut(names, BLOCK), f"sketches, blocks of {BLOCK} perturbations")
