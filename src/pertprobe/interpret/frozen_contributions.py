"""Where a response to a perturbation comes from: the exact split of delta_y between what the frozen maps add up."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vjp

from pertprobe.interpret.jacobian import Point, respond
from pertprobe.models.base import Model
from pertprobe.models.contributions import AffineMap, Contributions, contributions


class Baseline(NamedTuple):
    """A model frozen under the control, and the contributions to its prediction."""

    map: AffineMap
    contributions: Contributions


class Attributions(NamedTuple):
    """The whole split of a response."""

    delta_y: Tensor
    """[..., G_out]."""
    contributions: Tensor
    """The change of what each source adds (`interpret.sources`) [..., 6, G_out]; they sum to delta_y."""
    shares: Tensor
    """[..., 6]: inner product of each source's change with delta_y, over |delta_y|^2; they sum to 1."""
    weights: Tensor
    """The weighted sum of outputs that gives the shares [..., S, G_out]: delta_y / |delta_y|^2 / S, 0 where closed."""
    total: Tensor
    """The sum of the contributions, the prediction itself [..., S, G_out]."""


def baseline(frozen: AffineMap) -> Baseline:
    """Return a model frozen under the control with the contributions to its prediction."""
    return Baseline(frozen, contributions(frozen))


def response(control: Baseline, frozen: AffineMap) -> tuple[Tensor, Tensor]:
    """Return the response of a model frozen under a perturbation, and what of it comes through the cells [..., G_out].

    The first is the mean over cells of Y(perturbation) - Y(control); the second the change of what the cells add, where
    outputs are open under both, mean over cells.
    """
    both = _open_under_both(control.map, frozen)
    moved = both * (frozen.from_cells(frozen.X) - control.contributions.cells)
    return (frozen.output - control.map.output).mean(-2), moved.mean(-2)


def attributions(control: Baseline, frozen: AffineMap) -> Attributions:
    """Split the response of a model frozen under a perturbation and, at the same cells, under the control.

    The control's contributions are subtracted one by one. An output that is 0 under either is closed there (exactly 0
    is what a ReLU leaves): its change is that of no contribution, but of the opening itself.
    """
    perturbed = contributions(frozen)
    both, change = _open_under_both(control.map, frozen), frozen.output - control.map.output
    moved = [both * (own - control_own) for own, control_own in zip(perturbed, control.contributions, strict=True)]
    changes = torch.stack([each.mean(-2) for each in (*moved, (1 - both) * change)], dim=-2)
    delta_y = change.mean(-2)
    size = delta_y.square().sum(-1, keepdim=True)
    along = (delta_y * torch.where(size > 0, 1 / size, 0.0))[..., None, :]
    shares, weights = (changes * along).sum(-1), both * along / both.shape[-2]
    return Attributions(delta_y, changes, shares, weights, sum(perturbed))


def _open_under_both(control: AffineMap, frozen: AffineMap) -> Tensor:
    return ((frozen.output != 0) & (control.output != 0)).to(frozen.output)


def detached_gradient_x_input(control: AffineMap, frozen: AffineMap, weights: Tensor) -> Tensor:
    """Return what of the cells' share comes through each input gene [..., G]; the genes sum to it.

    `weights` are those of `Attributions`. The control's is subtracted.
    """
    control_own, own = (gradient_x_input(each.from_cells, each.X, weights) for each in (control, frozen))
    return own - control_own


def ordinary_gradient_x_input(model: Model, names: tuple[str, str], point: Point, weights: Tensor) -> Tensor:
    """Return the same by the ordinary Jacobians, gradient times input [..., G], which sum to nothing in particular.

    `names`: the control and the perturbation; `point`: the cells, their batches.
    """
    codes = model.encode_perturbations(list(names))
    control_own, own = (gradient_x_input(partial(respond, model, code, point), point.X, weights) for code in codes)
    return own - control_own


def gradient_x_input(run: Callable[[Tensor], Tensor], X: Tensor, weights: Tensor) -> Tensor:
    """Return gradient times input [..., G] of the weighted sum of a run's outputs, `weights` [..., S, G_out].

    Of a linear run (`AffineMap.from_cells`) the sum over genes is the weighted sum itself, gene by gene. One pull-back
    serves all genes.
    """
    _, pull_back = vjp(run, X)
    return (pull_back(weights)[0] * X).sum(-2)
