"""Derivatives of the mean output of a cell set with respect to its input cells."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vjp, vmap

from pertprobe.errors import PertprobeError
from pertprobe.models.base import Model

TOLERANCE = 1e-3
"""Largest difference between the mean cell with multiplicity and its copies, relative to the largest output."""


class PanelJacobian(NamedTuple):
    """Derivatives of few targets with respect to few regulators."""

    values: Tensor
    """dY[target] / dX[regulator], total derivative [n_sets, targets, regulators]."""
    open: Tensor
    """Share of cells whose output for the target is not exactly 0 [n_sets, targets]; 0 means a closed output ReLU."""


class Point(NamedTuple):
    """Where the derivative is taken: the cells, their batch indices and how many cells each stands for."""

    X: Tensor
    """[n_sets, cells, G]."""
    batch: Tensor | None
    """[n_sets, cells], indices into the model's batches."""
    multiplicity: Tensor | None
    """[n_sets, cells], None = one each."""


def cells_point(values: np.ndarray, batch: Tensor | None, like: Tensor) -> Point:
    """Return the point "cells": each cell of the sets [n_sets, S, G] as it is."""
    return Point(torch.as_tensor(values).to(like), batch, None)


def mean_cell_point(values: np.ndarray, batch: int | None, like: Tensor) -> Point:
    """Return the point "mean_cell": the mean of each set [n_sets, S, G], standing for S cells of one batch."""
    X = torch.as_tensor(values).to(like).mean(-2, keepdim=True)
    multiplicity = torch.full(X.shape[:-1], float(values.shape[-2])).to(like)
    label = None if batch is None else torch.full(X.shape[:-1], batch, device=like.device)
    return Point(X, label, multiplicity)


def respond(model: Model, code: Tensor, point: Point, X: Tensor | None = None) -> Tensor:
    """Return the output [n_sets, cells, G_out] under the perturbation code [H]; `X` replaces the point's cells."""
    X = point.X if X is None else X
    encoded = model.encode_cells(X, point.batch, point.multiplicity)
    return model.decode(model.mix(code.expand(*X.shape[:-2], -1), encoded), encoded, X)


def panel_jacobian(
    model: Model, code: Tensor, point: Point, targets: list[int], regulators: list[int]
) -> PanelJacobian:
    """Return the total derivative (1/S) sum_s sum_s' dY_s[target] / dX_s'[regulator] (inference.md 11).

    Reverse mode: one pull-back per target serves all regulators and, since sets do not interact, all sets. n identical
    cells are one cell of multiplicity n.
    """
    outputs, pull_back = vjp(lambda X: respond(model, code, point, X)[..., targets].mean(-2), point.X)
    seeds = torch.eye(len(targets)).to(outputs)[:, None, :].expand(-1, outputs.shape[0], -1)
    gradients = vmap(lambda seed: pull_back(seed)[0])(seeds)  # [targets, n_sets, cells, G]
    values = gradients.sum(-2)[..., regulators].movedim(0, 1)
    with torch.no_grad():
        # A closed ReLU gives exactly 0; without one an output may be negative and its derivative stands.
        active = (respond(model, code, point)[..., targets] != 0).to(outputs).mean(-2)
    return PanelJacobian(values, active)


def check_multiplicity(model: Model, code: Tensor, point: Point) -> None:
    """Raise PertprobeError where the mean cell with its multiplicity is not what the model predicts for its copies."""
    copies = int(point.multiplicity.flatten()[0])
    repeated = point.X.expand(*point.X.shape[:-2], copies, -1)
    labels = None if point.batch is None else point.batch.expand(*point.batch.shape[:-1], copies)
    with torch.no_grad():
        once = respond(model, code, point)[..., 0, :]
        many = respond(model, code, Point(repeated, labels, None)).mean(-2)
    error = ((once - many).abs().max() / many.abs().max().clamp_min(1e-12)).item()
    if error > TOLERANCE:
        raise PertprobeError(
            f"The mean cell with multiplicity {copies} gives another output than {copies} copies of it (relative error "
            f"{error:.2g}): the model is no set function. Set at: cells for targeted_jacobian."
        )
