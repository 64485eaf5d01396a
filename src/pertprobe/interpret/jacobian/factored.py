"""Whole Jacobians of models with linear ends, as factors."""

from collections.abc import Iterable

import torch
from torch import Tensor

from pertprobe.batching import MEMORY_GB
from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian.chunks import chunks, in_batches
from pertprobe.interpret.jacobian.factors import Core, Factors
from pertprobe.interpret.jacobian.linear_ends import FactorisedModel, factorised
from pertprobe.interpret.jacobian.panel import share_open
from pertprobe.interpret.jacobian.passes import CellWeights, Passed, each_cell, jvp_columns, total, vjp_rows
from pertprobe.interpret.jacobian.points import Derivative, Point, cell_weights
from pertprobe.models.base import Model
from pertprobe.shapes import Float


def jacobian_factors(
    model: Model,
    codes: Float[Tensor, "perturbation code"],
    point: Point,
    derivative: Derivative = "total",
    memory_gb: float = MEMORY_GB,
) -> Factors:
    """Return whole Jacobians under codes [P, H], mean over the cells of each set, left sides [P, n_sets, G_out, K].

    At many cells the left side is the mean over cells of (output mask x output weight x what lies between): forward
    mode, K directions. The diagonal takes S times as many passes.

    Raises:
        PertprobeError: the model has no `linear_ends` (see `panel.explicit_jacobian`).
    """
    at = _factorised(model, point)
    width, outputs = at.projected.shape[-1], len(at.ends.output_weight)
    sizes = chunks(at, codes[0], width, memory_gb, reverse=False, result=2 * len(point.X) * outputs * width)
    along = torch.eye(width).to(at.projected)

    def work(codes: Tensor) -> tuple[Tensor]:
        """Return the left factors of a batch."""
        weightings = _weightings(point, derivative)
        return (
            sum(
                jvp_columns(
                    at, codes, weights, along, lambda h: at.ends.decode_linear(h, None), sizes.directions
                ).derivative
                for weights in weightings
            ),
        )

    return Factors(in_batches(codes, sizes.perturbations, work)[0], at.ends.input_weight)


def jacobian_cores(
    model: Model,
    codes: Float[Tensor, "perturbation code"],
    point: Point,
    derivative: Derivative = "total",
    memory_gb: float = MEMORY_GB,
) -> Core:
    """Return whole Jacobians at the mean cell under codes [P, H], cores [P, n_sets, D, K]: the smallest form.

    Raises:
        PertprobeError: the model has no `linear_ends`, or the outputs of several cells are averaged: their mean has no
            core.
    """
    at = _factorised(model, point)
    if not ((cell_weights(point) > 0).sum(-1) == 1).all():
        raise PertprobeError(
            "jacobian: a mean over different cells has no core. Ask at the mean cell, or for jacobian_factors"
        )
    K, D = at.projected.shape[-1], at.ends.output_weight.shape[-1]
    reverse = D < K
    sizes = chunks(at, codes[0], min(D, K), memory_gb, reverse=reverse, result=2 * len(point.X) * D * K)

    def work(codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cores and masks of a batch."""
        (weights,) = _weightings(point, derivative)
        state, core = _core(at, codes, weights, sizes.directions, reverse=reverse)
        return core, _mask(at, state)

    core, mask = in_batches(codes, sizes.perturbations, work)
    return Core(core, mask, at.ends.output_weight, at.ends.input_weight)


def _factorised(model: Model, point: Point) -> FactorisedModel:
    if "linear_ends" not in model.capabilities:
        raise PertprobeError(
            "model: whole Jacobians are kept as factors, which takes `linear_ends()` (models.base.LinearEnds). "
            "This model has none: ask for few genes (panel_jacobian), or for the whole matrix (explicit_jacobian)"
        )
    return factorised(model, point)


def _weightings(point: Point, derivative: Derivative) -> Iterable[CellWeights]:
    return [total(point)] if derivative == "total" else each_cell(point)


def _core(at: FactorisedModel, codes: Tensor, weights: CellWeights, chunk: int, *, reverse: bool) -> Passed:
    if reverse:
        return vjp_rows(at, codes, weights, at.ends.output_weight.shape[-1], lambda hidden: hidden, chunk)
    along = torch.eye(at.projected.shape[-1]).to(at.projected)
    return jvp_columns(at, codes, weights, along, lambda hidden: hidden, chunk)


def _mask(at: FactorisedModel, state: Tensor) -> Tensor:
    """Return which outputs are open at the one cell that counts [P, n_sets, G_out], by what the last Linear reads."""
    with torch.no_grad():
        found = share_open(at, at.ends.decode_linear(state, None))
    return found > 0 if at.ends.relu else torch.ones_like(found, dtype=torch.bool)
