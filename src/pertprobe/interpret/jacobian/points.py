"""Where a derivative is taken: at every cell of the sets, or at their mean cell."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.models.base import Model
from pertprobe.shapes import Array, Float, Integer, Num

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
