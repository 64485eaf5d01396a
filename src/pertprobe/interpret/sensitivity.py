"""How a model's output answers to small changes of its input: gains, gradients by layer, linear range."""

from collections.abc import Sequence

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


def sensitivity(
    model: Model, code: Tensor, point: Point, sd: Tensor, *, noise: Tensor, signs: Tensor, start: Tensor
) -> dict[str, Tensor]:
    """Measure a model under a code [H] at the cells of a point; J is d mean_s Y_s / d a shift of all cells.

    Args:
        model: the model.
        code: of the perturbation.
        point: the cells.
        sd: each gene's natural variation [G].
        noise: shifts of all cells, by size and draw [noise, draws, G].
        signs: random, +1 or -1 [draws, n_sets, G_out].
        start: where the power iteration begins [n_sets, cells, G].

    Returns:
        input_gradient [n_sets, G]: norms of the columns of J. input_response [n_sets, G]: the same for a shift of one
        sd of the gene. output_response [n_sets, G_out]: norms of the rows of J, each input gene times its sd.
        spectral_norm [n_sets]: of each set's map from all its cells' inputs to all their outputs (`spectral_norm`).
        converged [n_sets]: relative change of that norm in the last step of its iteration. shift_norm [n_sets]:
        largest singular value of J. activation [n_sets, layers]: root mean square of the cells' hidden states; layer 0
        = the input of the backbone. gradient [n_sets, layers]: Frobenius norm of d mean_s Y_s / d a shift of all cells'
        states, by random signs. closed [n_sets, G_out]: share of cells whose output is exactly 0, which a closed ReLU
        leaves. noise_response [n_sets, noise, draws]: norm of the change of the mean output under a shift of all cells.
        noise_error [n_sets, noise, draws]: norm of what the derivative misses of it, over that norm; 0 where there is
        no change. set_difference: norm of the difference of the mean outputs of two sets, mean over pairs; nan with one
        set.
    """
    jacobian, output = shift_factors(model, code, point), respond(model, code, point)
    matrix = jacobian.rows(range(output.shape[-1]))
    norm, converged = spectral_norm(model, code, point, start)
    activation, gradient = layer_sizes(model, code, point, signs)
    answers = noise_response(model, code, point, jacobian, noise.flatten(0, 1))
    moved, missed = (each.unflatten(1, noise.shape[:2]) for each in answers)
    return {
        "input_gradient": matrix.norm(dim=-2),
        "input_response": (matrix * sd).norm(dim=-2),
        "output_response": (matrix * sd).norm(dim=-1),
        "spectral_norm": norm,
        "converged": converged,
        "shift_norm": torch.linalg.matrix_norm(matrix, ord=2),
        "activation": activation,
        "gradient": gradient,
        "closed": (output == 0).to(code).mean(-2),
        "noise_response": moved,
        "noise_error": missed,
        "set_difference": _difference(output.mean(-2)),
    }


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
    return Factors(left[0], along if at.ends.input_weight is None else at.ends.input_weight)


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
    """Return sizes of states and gradients by layer [n_sets, layers]: `activation` and `gradient` of `sensitivity`.

    `signs` [draws, n_sets, G_out] are random, +1 or -1. One pull-back per draw serves all layers: E |J' r|^2 is the
    squared Frobenius norm of J.
    """
    encoded = model.encode_cells(point.X, point.batch, point.multiplicity)
    states = model.mix(code, encoded).layers
    cells = [each[..., model.cell_positions, :] for each in states]
    nothing = [torch.zeros_like(each[:, 0]) for each in states]
    _, pull_back = vjp(lambda *shifts: shifted_mean(model, code, point, shifts), *nothing)
    gradients = vmap(pull_back)(signs)
    norms = torch.stack([each.square().sum(-1).mean(0) for each in gradients], dim=-1)
    return _mean_square(cells).sqrt(), norms.sqrt()


def _mean_square(layers: Sequence[Tensor]) -> Tensor:
    """Return the mean square of each layer's states [n_sets, layers].

    Layers of one width are averaged together, those of several each by itself: sums of floating numbers depend on it.
    """
    if len({each.shape for each in layers}) == 1:
        return torch.stack(list(layers), dim=1).square().mean((-2, -1))
    return torch.stack([each.square().mean((-2, -1)) for each in layers], dim=1)


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
