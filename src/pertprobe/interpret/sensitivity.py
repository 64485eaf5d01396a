"""How a model's output answers to small changes of its input: gains, gradients by layer, linear range."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vjp, vmap

from pertprobe.interpret.jacobian import Factors, Point, respond
from pertprobe.interpret.jacobian.linear_ends import factorised
from pertprobe.interpret.jacobian.passes import jvp_columns, total
from pertprobe.models.base import Model
from pertprobe.models.forward_mode import jvp

STEPS, TOLERANCE = 100, 1e-3
"""Of the power iteration."""
CHUNK = 64
"""Directions that are pushed through a model at once."""


class Draws(NamedTuple):
    """Random numbers that a measurement takes."""

    noise: Tensor
    """Shifts of all cells, by size and draw [noise, draws, G]."""
    signs: Tensor
    """+1 or -1 [draws, n_sets, G_out]."""
    start: Tensor
    """Where the power iteration begins [n_sets, cells, G]."""


class Sensitivity(NamedTuple):
    """How the output of a model answers under one perturbation; J is d mean_s Y_s / d a shift of all cells."""

    input_gradient: Tensor
    """Norms of the columns of J [n_sets, G]."""
    input_response: Tensor
    """The same for a shift of one sd of the gene [n_sets, G]."""
    output_response: Tensor
    """Norms of the rows of J, each input gene times its sd [n_sets, G_out]."""
    spectral_norm: Tensor
    """Of each set's map from all its cells' inputs to all their outputs, see `spectral_norm` [n_sets]."""
    converged: Tensor
    """Relative change of that norm in the last step of its iteration [n_sets]: how far it had converged."""
    shift_norm: Tensor
    """Largest singular value of J [n_sets]."""
    activation: Tensor
    """Root mean square of the cells' hidden states [n_sets, layers]; layer 0 = the input of the backbone."""
    gradient: Tensor
    """Frobenius norm of d mean_s Y_s / d a shift of all cells' states [n_sets, layers], by random signs."""
    closed: Tensor
    """Share of cells whose output is exactly 0, which a closed ReLU leaves [n_sets, G_out]."""
    noise_response: Tensor
    """Norm of the change of the mean output under a shift of all cells [n_sets, noise, draws]."""
    noise_error: Tensor
    """Norm of what the derivative misses of it, over that norm [n_sets, noise, draws]; 0 where there is no change."""
    set_difference: Tensor
    """Norm of the difference of the mean outputs of two sets, mean over pairs; nan with one set."""


def sensitivity(model: Model, code: Tensor, point: Point, sd: Tensor, draws: Draws) -> Sensitivity:
    """Measure a model under a code [H] at the cells of a point; `sd` [G] is each gene's natural variation."""
    jacobian, output = shift_factors(model, code, point), respond(model, code, point)
    matrix = jacobian.rows(range(output.shape[-1]))
    gain = spectral_norm(model, code, point, draws.start)
    layers = layer_sizes(model, code, point, draws.signs)
    answers = noise_response(model, code, point, jacobian, draws.noise.flatten(0, 1))
    by_size = (len(point.X), *draws.noise.shape[:2])
    return Sensitivity(
        matrix.norm(dim=-2),
        (matrix * sd).norm(dim=-2),
        (matrix * sd).norm(dim=-1),
        *gain,
        torch.linalg.matrix_norm(matrix, ord=2),
        *layers,
        (output == 0).to(code).mean(-2),
        *(each.reshape(by_size) for each in answers),
        _difference(output.mean(-2)),
    )


def _difference(means: Tensor) -> Tensor:
    """Return the mean distance between the mean outputs [n_sets, G_out] of two sets; nan with one set."""
    apart = torch.cdist(means[None], means[None])[0]
    pairs = torch.triu_indices(len(means), len(means), 1)
    return apart[pairs[0], pairs[1]].mean()


def shift_factors(model: Model, code: Tensor, point: Point) -> Factors:
    """Return d mean_s Y_s / d a shift of all cells under a code [H], left side [n_sets, G_out, K].

    For one perturbation alone, and not in batches of a fixed size.
    """
    at = factorised(model, point)
    along = torch.eye(at.projected.shape[-1]).to(at.projected)
    left = jvp_columns(at, code[None], total(point), along, lambda h: at.ends.decode_linear(h, None), CHUNK).derivative
    return Factors(left[0], at.ends.input_weight)


def spectral_norm(
    model: Model, code: Tensor, point: Point, start: Tensor, steps: int = STEPS, tolerance: float = TOLERANCE
) -> tuple[Tensor, Tensor]:
    """Return the largest gain of each set's whole map, and the relative change in the last step [n_sets].

    By power iteration on J'J from `start` [n_sets, cells, G]. It ends when no set's norm changes by more than
    `tolerance` of itself, or after `steps`.
    """

    def run(X: Tensor) -> Tensor:
        """Return the output of these cells."""
        return respond(model, code, point, X)

    _, pull_back = vjp(run, point.X)
    direction, norm = _unit(start), torch.zeros_like(start[:, 0, 0])
    for _ in range(steps):
        moved = jvp(run, (point.X,), (direction,))[1]
        before, norm = norm, moved.flatten(1).norm(dim=1)
        direction = _unit(pull_back(moved)[0])
        change = (norm - before).abs() / norm.clamp_min(torch.finfo(norm.dtype).tiny)
        if (change <= tolerance).all():
            break
    return norm, change


def _unit(direction: Tensor) -> Tensor:
    sizes = direction.flatten(1).norm(dim=1)[:, None, None]
    return direction / torch.where(sizes > 0, sizes, 1.0)


def layer_sizes(model: Model, code: Tensor, point: Point, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return sizes of states and gradients by layer [n_sets, layers]: `activation` and `gradient` of `Sensitivity`.

    `signs` [draws, n_sets, G_out] are random, +1 or -1. One pull-back per draw serves all layers: E |J' r|^2 is the
    squared Frobenius norm of J.
    """
    encoded = model.encode_cells(point.X, point.batch, point.multiplicity)
    states = model.mix(code, encoded).layers
    cells = torch.stack([each[..., model.cell_positions, :] for each in states], dim=1)
    nothing = [torch.zeros_like(each[:, 0]) for each in states]
    _, pull_back = vjp(lambda *shifts: shifted_mean(model, code, point, shifts), *nothing)
    gradients = vmap(pull_back)(signs)
    norms = torch.stack([each.square().sum(-1).mean(0) for each in gradients], dim=-1)
    return cells.square().mean((-2, -1)).sqrt(), norms.sqrt()


def shifted_mean(model: Model, code: Tensor, point: Point, shifts: Sequence[Tensor | None]) -> Tensor:
    """Return the mean output [n_sets, G_out] with a shift [n_sets, H] or [H] of all cells' states at each layer.

    Extra tokens stay as they are, and so does what passes beside the backbone (the residual). None: no shift.
    """
    encoded = model.encode_cells(point.X, point.batch, point.multiplicity)
    beside = (model.cell_positions.start or 0, -(model.cell_positions.stop or 0))

    def edit(layer: int, states: Tensor) -> Tensor:
        """Add the shift of a layer to its states."""
        if shifts[layer] is None:
            return states
        moved = shifts[layer][..., None, :].expand(*point.X.shape[:-1], -1)
        return states + F.pad(moved, (0, 0, *beside))

    return model.decode(model.mix(code, encoded, edit), encoded, point.X).mean(-2)


def noise_response(
    model: Model, code: Tensor, point: Point, jacobian: Factors, shifts: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what shifts [n, G] of all cells do, and the share that `shift_factors` miss of it [n_sets, n]."""
    before = respond(model, code, point).mean(-2)
    change = torch.stack([respond(model, code, point, point.X + shift).mean(-2) - before for shift in shifts], dim=1)
    predicted = torch.stack([jacobian.times(shift.expand(len(before), -1)) for shift in shifts], dim=1)
    size = change.norm(dim=-1)
    missed = (change - predicted).norm(dim=-1)
    return size, torch.where(size > 0, missed / size, 0.0)
