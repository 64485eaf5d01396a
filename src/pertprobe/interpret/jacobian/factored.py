"""Whole Jacobians of models that narrow, as factors."""

from collections.abc import Iterable

import torch
from torch import Tensor

from pertprobe.batching import MEMORY_GB
from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian.chunks import chunks, in_batches
from pertprobe.interpret.jacobian.factors import Core, Factors
from pertprobe.interpret.jacobian.linear_ends import Between, between
from pertprobe.interpret.jacobian.panel import share_open
from pertprobe.interpret.jacobian.passes import Ask, Passed, each_cell, pull, push, total
from pertprobe.interpret.jacobian.points import Derivative, Point, shares
from pertprobe.models.base import Model


def jacobian_factors(
    model: Model, codes: Tensor, point: Point, derivative: Derivative = "total", memory_gb: float = MEMORY_GB
) -> Factors:
    """Return whole Jacobians under codes [P, H], mean over the cells of each set, left sides [P, n_sets, G_out, K].

    At many cells the left side is the mean over cells of (output mask x output weight x what lies between): forward
    mode, K directions. The diagonal takes S times as many passes.

    Raises:
        PertprobeError: the model has no `narrow` (see `panel.explicit_jacobian`).
    """
    at = _narrow(model, point)
    width, outputs = at.projected.shape[-1], len(at.narrow.output_weight)
    sizes = chunks(at, codes[0], width, memory_gb, reverse=False, result=2 * len(point.X) * outputs * width)
    along = torch.eye(width).to(at.projected)

    def work(codes: Tensor) -> tuple[Tensor]:
        """Return the left factors of a batch."""
        asks = _asks(point, derivative)
        return (
            sum(
                push(at, codes, ask, along, lambda h: at.narrow.expand(h, None), sizes.directions).derivative
                for ask in asks
            ),
        )

    return Factors(in_batches(codes, sizes.perturbations, work)[0], at.narrow.input_weight)


def jacobian_cores(
    model: Model, codes: Tensor, point: Point, derivative: Derivative = "total", memory_gb: float = MEMORY_GB
) -> Core:
    """Return whole Jacobians at the mean cell under codes [P, H], cores [P, n_sets, D, K]: the smallest form.

    Raises:
        PertprobeError: the model has no `narrow`, or the outputs of several cells are averaged: their mean has no core.
    """
    at = _narrow(model, point)
    if not ((shares(point) > 0).sum(-1) == 1).all():
        raise PertprobeError(
            "jacobian: a mean over different cells has no core. Ask at the mean cell, or for jacobian_factors"
        )
    K, D = at.projected.shape[-1], at.narrow.output_weight.shape[-1]
    reverse = D < K
    sizes = chunks(at, codes[0], min(D, K), memory_gb, reverse=reverse, result=2 * len(point.X) * D * K)

    def work(codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cores and masks of a batch."""
        (ask,) = _asks(point, derivative)
        state, core = _core(at, codes, ask, sizes.directions, reverse=reverse)
        return core, _mask(at, state)

    core, mask = in_batches(codes, sizes.perturbations, work)
    return Core(core, mask, at.narrow.output_weight, at.narrow.input_weight)


def _narrow(model: Model, point: Point) -> Between:
    if not hasattr(model, "narrow"):
        raise PertprobeError(
            "model: whole Jacobians are kept as factors, which takes `narrow()` (pertprobe.models.base.Narrow). This "
            "model has none: ask for few genes (panel_jacobian), or for the whole matrix (explicit_jacobian)"
        )
    return between(model, point)


def _asks(point: Point, derivative: Derivative) -> Iterable[Ask]:
    return [total(point)] if derivative == "total" else each_cell(point)


def _core(at: Between, codes: Tensor, ask: Ask, chunk: int, *, reverse: bool) -> Passed:
    if reverse:
        return pull(at, codes, ask, at.narrow.output_weight.shape[-1], lambda hidden: hidden, chunk)
    along = torch.eye(at.projected.shape[-1]).to(at.projected)
    return push(at, codes, ask, along, lambda hidden: hidden, chunk)


def _mask(at: Between, state: Tensor) -> Tensor:
    """Return which outputs are open at the one cell that counts [P, n_sets, G_out], by what the last Linear reads."""
    with torch.no_grad():
        found = share_open(at, at.narrow.expand(state, None))
    return found > 0 if at.narrow.relu else torch.ones_like(found, dtype=torch.bool)
