"""One pass through the model: forward mode for few inputs, reverse mode for few outputs, both in chunks.

What is asked of the cells is said by two weights for each: sum_s sum_s' output_weights[s] input_weights[s'] dY_s/dX_s'.
Ones and the cells' weights in the mean output give the total derivative, one cell's its part of the diagonal, random
signs an estimate of the diagonal (`hutchinson.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vjp, vmap

from pertprobe.errors import PertprobeError
from pertprobe.interpret.by_directions import by_directions
from pertprobe.interpret.jacobian.linear_ends import FactorisedModel, encode, hidden, read
from pertprobe.interpret.jacobian.points import Derivative, Point, cell_weights
from pertprobe.models.forward_mode import jvp
from pertprobe.shapes import Float

Reader = Callable[[Tensor], Tensor]
"""What is differentiated of the hidden state [..., D] -> [..., O]."""


class CellWeights(NamedTuple):
    """Which cells are moved, and whose outputs are added up."""

    input_weights: Tensor
    """[n_sets, cells]."""
    output_weights: Tensor
    """[n_sets, cells]."""


def total(point: Point) -> CellWeights:
    """Return the weights of the total derivative: all cells move together, each output has its weight in the mean."""
    weight = cell_weights(point)
    return CellWeights(torch.ones_like(weight), weight)


def each_cell(point: Point) -> Iterator[CellWeights]:
    """Yield for each cell the weights of its part of the diagonal; cells without weight in the mean output have none.

    Raises PertprobeError where a cell that counts stands for several: what its copies do to each other is no diagonal.
    """
    weight = cell_weights(point)
    check_single(point)
    for cell in range(weight.shape[-1]):
        if weight[:, cell].any():
            alone = torch.zeros_like(weight)
            alone[:, cell] = 1.0
            yield CellWeights(alone, alone * weight)


def weightings(point: Point, derivative: Derivative) -> Iterable[CellWeights]:
    """Return the weights of the passes whose sum is a derivative."""
    return [total(point)] if derivative == "total" else each_cell(point)


def check_single(point: Point) -> None:
    """Raise PertprobeError where a cell that counts stands for several."""
    if point.multiplicity is not None and ((point.multiplicity != 1) & (cell_weights(point) > 0)).any():
        raise PertprobeError(
            "jacobian: the diagonal derivative at the mean cell takes it apart from the cells that stay; make the "
            "point with mean_cell_point(..., derivative='diagonal')"
        )


def probing_weights(point: Point, signs: Float[Tensor, "set cell"]) -> CellWeights:
    """Return the weights of one probing vector of signs [n_sets, cells]: outputs add up as the cells were moved."""
    return CellWeights(signs, signs * cell_weights(point))


class Passed(NamedTuple):
    """What one pass gives."""

    value: Tensor
    """What each cell is read as [P, n_sets, cells, O]."""
    derivative: Tensor
    """[P, n_sets, O, R]."""


def jvp_columns(
    at: FactorisedModel,
    codes: Float[Tensor, "perturbation code"],
    weights: CellWeights,
    along: Float[Tensor, "direction projected"],
    reader: Reader,
    chunk: int,
) -> Passed:
    """Return the derivative along directions [R, K] of what cells are read as; forward mode."""

    def one(direction: Tensor) -> tuple[Tensor, Tensor]:
        """Return the value, and its derivative along one direction."""
        tangent = weights.input_weights[..., None] * direction
        value, moved = jvp(lambda projected: reader(hidden(at, codes, projected)), (at.projected,), (tangent,))
        return value, (weights.output_weights[..., None] * moved).sum(-2)

    parts = []
    for some in along.split(chunk):
        value, part = vmap(one, out_dims=(None, 0))(some)  # the value is every chunk's: one is kept
        parts.append(part.movedim(0, -1))  # as `by_directions` does
    return Passed(value, torch.cat(parts, dim=-1))


def jvp_code(
    at: FactorisedModel, codes: Float[Tensor, "perturbation code"], reader: Reader, chunk: int
) -> Float[Tensor, "perturbation set output code"]:
    """Return the derivative of the mean output by the perturbation code [P, n_sets, O, H]; forward mode."""
    encoded, weight = encode(at, at.projected, len(codes)), cell_weights(at.point)[..., None]

    def one(direction: Tensor) -> Tensor:
        """Return the derivative along one direction of the code."""

        def mean(codes: Tensor) -> Tensor:
            """Return the mean output under codes."""
            return (weight * reader(read(at, codes, encoded, at.projected))).sum(-2)

        return jvp(mean, (codes,), (direction.expand_as(codes),))[1]

    return by_directions(one, torch.eye(codes.shape[-1]).to(codes), -1, chunk)


def vjp_rows(
    at: FactorisedModel,
    codes: Float[Tensor, "perturbation code"],
    weights: CellWeights,
    outputs: int,
    reader: Reader,
    chunk: int,
) -> Passed:
    """Return the derivative of `outputs` outputs by what is read of cells [P, n_sets, O, K]; reverse mode."""
    projected = at.projected.expand(len(codes), *at.projected.shape)
    found, back = vjp(lambda each: reader(hidden(at, codes, each)), projected)

    def one(output: Tensor) -> Tensor:
        """Return the derivative of one output."""
        seed = (weights.output_weights[..., None] * output).expand_as(found)
        return (weights.input_weights[..., None] * back(seed)[0]).sum(-2)

    return Passed(found.detach(), by_directions(one, torch.eye(outputs).to(found), -2, chunk))
