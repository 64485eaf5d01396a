"""Where a derivative is taken: at every cell of the sets, or at their mean cell."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.models.base import Model
from pertprobe.roles import SUBJECT
from pertprobe.shapes import Array, Float, Integer, Num, Shaped

Derivative = Literal["total", "diagonal"]
"""total: (1/S) sum_s sum_s' dY_s/dX_s'; diagonal: (1/S) sum_s dY_s/dX_s, other cells held fixed
(methods.md, The derivative engine)."""

TOLERANCE = 1e-3
"""Largest difference between the mean cell with multiplicity and its copies, relative to the largest output."""


class Point(NamedTuple):
    """Where the derivative is taken: the cells, their batch indices and how many cells each stands for."""

    X: Tensor
    """[n_sets, cells, G]."""
    batch: Tensor | None
    """[n_sets, cells], indices into the model's batches."""
    multiplicity: Tensor | None
    """[n_sets, cells], None = one each."""
    weight: Tensor | None = None
    """Weight of each cell in the mean output [n_sets, cells], sum 1; None = the same for all."""


def cells_point(values: Num[Array, "set cell gene"], batch: Integer[Tensor, "set cell"] | None, like: Tensor) -> Point:
    """Return the point "cells": each cell of the sets [n_sets, S, G] as it is."""
    return Point(torch.as_tensor(values).to(like), batch, None)


def mean_cell_point(
    values: Num[Array, "set cell gene"], batch: int | None, like: Tensor, derivative: Derivative = "total"
) -> Point:
    """Return the point "mean_cell": the mean of each set [n_sets, S, G], standing for S cells of one batch.

    For the diagonal derivative it stands twice: once as one cell, whose output alone is asked for, and once for the
    other S - 1, which are held fixed. Both are exact in set functions (methods.md, The derivative engine).
    """
    S = values.shape[-2]
    counts = [float(S)] if derivative == "total" or S == 1 else [1.0, S - 1.0]
    X = torch.as_tensor(values).to(like).mean(-2, keepdim=True).expand(-1, len(counts), -1)
    multiplicity = torch.tensor(counts).to(like).expand(X.shape[:-1])
    label = None if batch is None else torch.full(X.shape[:-1], batch, device=like.device)
    first = (torch.arange(len(counts)) == 0).to(like).expand(X.shape[:-1])
    return Point(X, label, multiplicity, first)


def cell_weights(point: Point) -> Float[Tensor, "set cell"]:
    """Return the weight of each cell in the mean output [n_sets, cells]; they sum to 1."""
    if point.weight is not None:
        return point.weight
    return point.X.new_full(point.X.shape[:-1], 1.0 / point.X.shape[-2])


def respond(
    model: Model, code: Float[Tensor, " code"], point: Point, X: Float[Tensor, "... cell gene"] | None = None
) -> Float[Tensor, "... cell output"]:
    """Return the output [n_sets, cells, G_out] under the perturbation code [H]; `X` replaces the point's cells."""
    X = point.X if X is None else X
    encoded = model.encode_cells(X, point.batch, point.multiplicity)
    return model.decode(model.mix(code.expand(*X.shape[:-2], -1), encoded), encoded, X)


def check_multiplicity(model: Model, code: Float[Tensor, " code"], point: Point) -> None:
    """Raise PertprobeError where the mean cell with its multiplicity is not what the model predicts for its copies."""
    copies = int(point.multiplicity[0].sum())
    repeated = point.X[..., :1, :].expand(*point.X.shape[:-2], copies, -1)
    labels = None if point.batch is None else point.batch[..., :1].expand(*point.batch.shape[:-1], copies)
    with torch.no_grad():
        once = respond(model, code, point)[..., 0, :]
        many = respond(model, code, Point(repeated, labels, None)).mean(-2)
    error = ((once - many).abs().max() / many.abs().max().clamp_min(1e-12)).item()
    if error > TOLERANCE:
        raise PertprobeError(
            f"The mean cell with multiplicity {copies} gives another output than {copies} copies of it (relative error "
            f"{error:.2g}): the model is no set function. Set at: cells for the probe."
        )


class Place(NamedTuple):
    """A point, and what was asked to get there."""

    point: Point
    batch: str
    """The batch label of the mean cell; empty where each cell has its own."""


def place(model: Model, cells: CellSets, settings: Mapping[str, Any], role: str) -> Place:
    """Return the point that a probe's settings ask for: `at`, `derivative`, and `cells` of a set.

    Untrained copies have all the sets of the model: with fewer, their similarities would hold more noise than its own.
    That the mean cell stands for its copies is checked of the model alone: its copies have the same architecture, and
    planted models are set functions.
    """
    cells = regrouped(cells, settings.get("cells"))
    if settings.get("at", "mean_cell") == "cells":
        control = model.encode_perturbations([model.control])
        return Place(cells_point(cells.values, model.batch_indices(cells.batches), control), "")
    derivative = settings.get("derivative", "total")
    return mean_place(model, cells.values, cells.batches, derivative, check=role == SUBJECT)


def mean_place(
    model: Model,
    values: Num[Array, "set cell gene"],
    batches: Shaped[Array, "..."] | None,
    derivative: Derivative = "total",
    *,
    check: bool = True,
) -> Place:
    """Return the mean cell of each set, in the commonest batch of all cells.

    Raises PertprobeError, if asked to `check`, where it is not what the model predicts for as many copies of it.
    """
    control, label = model.encode_perturbations([model.control])[0], commonest(batches)
    indices = model.batch_indices(np.array([label])) if label else None
    point = mean_cell_point(values, None if indices is None else int(indices[0]), control, derivative)
    if check:
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
    number = n_sets * current // size
    if not number:
        raise PertprobeError(
            f"cells: {size} cells a set are asked for, there are {n_sets} sets of {current} in {cells.context}. Raise "
            "cells.<context>.n_sets or set_size, or ask for fewer"
        )
    parts = {name: getattr(cells, name) for name in ("values", "batches", "cell_ids")}
    cut = {
        name: part.reshape(-1, *part.shape[2:])[: number * size].reshape(number, size, *part.shape[2:])
        for name, part in parts.items()
        if part is not None
    }
    return replace(cells, **cut, hash="")


def commonest(batches: Shaped[Array, "..."] | None) -> str:
    """Return the most frequent batch label, the first in order of names among equals; empty without labels."""
    return "" if batches is None else str(pd.Series(batches.ravel()).mode()[0])
