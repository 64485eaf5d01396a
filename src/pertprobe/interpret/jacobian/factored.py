"""Whole Jacobians of models with linear ends at the mean cell, as the cores between these."""

import torch
from torch import Tensor

from pertprobe.batching import MEMORY_GB
from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian.chunks import chunks, in_batches
from pertprobe.interpret.jacobian.factors import Core
from pertprobe.interpret.jacobian.linear_ends import FactorisedModel, factorised
from pertprobe.interpret.jacobian.panel import share_open
from pertprobe.interpret.jacobian.passes import CellWeights, Passed, jvp_columns, vjp_rows, weightings
from pertprobe.interpret.jacobian.points import Derivative, Point, cell_weights
from pertprobe.models.base import Model
from pertprobe.shapes import Float


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
    if "linear_ends" not in model.capabilities:
        raise PertprobeError(
            "model: whole Jacobians are kept as factors, which takes `linear_ends()` (models.base.LinearEnds). "
            "This model has none: ask for few genes (panel_jacobian)"
        )
    at = factorised(model, point)
    if not ((cell_weights(point) > 0).sum(-1) == 1).all():
        raise PertprobeError(
            "jacobian: a mean over different cells has no core. Ask at the mean cell, or for few genes (panel_jacobian)"
        )
    K, D = at.projected.shape[-1], at.ends.output_weight.shape[-1]
    reverse = D < K
    sizes = chunks(at, codes[0], min(D, K), memory_gb, reverse=reverse, result=2 * len(point.X) * D * K)

    def work(codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cores and masks of a batch."""
        (weights,) = weightings(point, derivative)
        state, core = _core(at, codes, weights, sizes.directions, reverse=reverse)
        return core, _mask(at, state)

    core, mask = in_batches(codes, sizes.perturbations, work)
    return Core(core, mask, at.ends.output_weight, at.ends.input_weight)


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
