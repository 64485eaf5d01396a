"""Where a response to a perturbation comes from: the exact split of delta_y between what the frozen maps add up."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vjp

from pertprobe.interpret.jacobian import Point, respond
from pertprobe.models.base import Model
from pertprobe.models.contributions import AffineMap, Parts, parts


class Baseline(NamedTuple):
    """A model frozen under the control, and the parts of its prediction."""

    map: AffineMap
    parts: Parts


class Response(NamedTuple):
    """A response, and as much of it as comes through the cells."""

    delta_y: Tensor
    """Mean over cells of Y(perturbation) - Y(control) [..., G_out]."""
    cells: Tensor
    """The change of what the cells add, where outputs are open under both, mean over cells [..., G_out]."""


class Routes(NamedTuple):
    """The whole split of a response."""

    delta_y: Tensor
    """[..., G_out]."""
    sources: Tensor
    """The change of each source (`interpret.sources`) [..., 6, G_out]; they sum to delta_y."""
    shares: Tensor
    """[..., 6]: inner product of each source's change with delta_y, over |delta_y|^2; they sum to 1."""
    weights: Tensor
    """The weighted sum of outputs that gives the shares [..., S, G_out]: delta_y / |delta_y|^2 / S, 0 where closed."""
    total: Tensor
    """The sum of the parts of the prediction itself [..., S, G_out]."""


def baseline(frozen: AffineMap) -> Baseline:
    """Return a model frozen under the control with the parts of its prediction."""
    return Baseline(frozen, parts(frozen))


def response(control: Baseline, frozen: AffineMap) -> Response:
    """Return the response of a model frozen under a perturbation, and what of it comes through the cells."""
    both = _open_under_both(control.map, frozen)
    moved = both * (frozen.from_cells(frozen.X) - control.parts.cells)
    return Response((frozen.output - control.map.output).mean(-2), moved.mean(-2))


def routes(control: Baseline, frozen: AffineMap) -> Routes:
    """Split the response of a model frozen under a perturbation and, at the same cells, under the control.

    The control's attribution is subtracted part by part. An output that is 0 under either is closed there (exactly 0
    is what a ReLU leaves): its change is that of no part, but of the opening itself.
    """
    found = parts(frozen)
    both, change = _open_under_both(control.map, frozen), frozen.output - control.map.output
    moved = [both * (mine - its) for mine, its in zip(found, control.parts, strict=True)]
    sources = torch.stack([each.mean(-2) for each in (*moved, (1 - both) * change)], dim=-2)
    delta_y = change.mean(-2)
    size = delta_y.square().sum(-1, keepdim=True)
    along = delta_y * torch.where(size > 0, 1 / size, 0.0)
    return Routes(
        delta_y,
        sources,
        (sources * along[..., None, :]).sum(-1),
        both * along[..., None, :] / both.shape[-2],
        sum(found),
    )


def _open_under_both(control: AffineMap, frozen: AffineMap) -> Tensor:
    return ((frozen.output != 0) & (control.output != 0)).to(frozen.output)


def gene_routes(control: AffineMap, frozen: AffineMap, weights: Tensor) -> Tensor:
    """Return what of the cells' share comes through each input gene [..., G]; the genes sum to it.

    `weights` are those of `Routes`. The control's is subtracted.
    """
    its, mine = (through_genes(each.from_cells, each.X, weights) for each in (control, frozen))
    return mine - its


def ordinary_routes(model: Model, names: tuple[str, str], point: Point, weights: Tensor) -> Tensor:
    """Return the same by the ordinary Jacobians, gradient times input [..., G], which sum to nothing in particular.

    `names`: the control and the perturbation; `point`: the cells, their batches.
    """
    codes = model.encode_perturbations(list(names))
    its, mine = (through_genes(partial(respond, model, code, point), point.X, weights) for code in codes)
    return mine - its


def through_genes(run: Callable[[Tensor], Tensor], X: Tensor, weights: Tensor) -> Tensor:
    """Return gradient times input [..., G] of the weighted sum of a run's outputs, `weights` [..., S, G_out].

    Of a linear run (`AffineMap.from_cells`) the sum over genes is the weighted sum itself, gene by gene. One pull-back
    serves all genes.
    """
    _, pull_back = vjp(run, X)
    return (pull_back(weights)[0] * X).sum(-2)
