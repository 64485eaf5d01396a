"""Derivatives of few outputs by few input genes, for many perturbations."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from pertprobe.batching import MEMORY_GB
from pertprobe.interpret.jacobian.chunks import Chunks, chunks, in_batches
from pertprobe.interpret.jacobian.linear_ends import FactorisedModel, directions, factorised
from pertprobe.interpret.jacobian.passes import CellWeights, Passed, jvp_columns, vjp_rows, weightings
from pertprobe.interpret.jacobian.points import Derivative, Point, cell_weights
from pertprobe.models.base import Model
from pertprobe.shapes import Float


class PanelJacobian(NamedTuple):
    """Derivatives of few targets with respect to few regulators."""

    values: Tensor
    """dY[target] / dX[regulator] [P, n_sets, targets, regulators]."""
    open: Tensor
    """Share of cells whose output for the target is not exactly 0 [P, n_sets, targets]; 0 = a closed output ReLU."""


class Block(NamedTuple):
    """What is asked for: some outputs by some inputs, at one point."""

    at: FactorisedModel
    targets: Sequence[int]
    regulators: Sequence[int]
    chunks: Chunks

    @property
    def forward(self) -> bool:
        """Whether forward mode takes fewer passes: one for each regulator, against one for each target."""
        return len(self.regulators) < len(self.targets)


def panel_jacobian(
    model: Model,
    codes: Float[Tensor, "perturbation code"],
    point: Point,
    targets: Sequence[int],
    regulators: Sequence[int],
    derivative: Derivative = "total",
    memory_gb: float = MEMORY_GB,
) -> PanelJacobian:
    """Return the total or diagonal derivative under codes [P, H], mean over the cells of each set.

    Both are defined in methods.md, The derivative engine.

    One vjp for each target serves all regulators, or one jvp for each regulator all targets, whichever are fewer; sets
    and perturbations go side by side. The diagonal at S cells takes S times as many passes (`hutchinson_diagonal`
    estimates it by few); at the mean cell (`mean_cell_point(..., derivative="diagonal")`) as many as the total.
    Perturbations run in batches of one shape, see `chunks.in_batches`: their numbers are the same for any number of
    shards.
    """
    asked = block(factorised(model, point), codes[0], targets, regulators, memory_gb)

    def work(codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the derivatives of a batch, and what is open."""
        found = added(asked, codes, weightings(point, derivative))
        return found.derivative, share_open(asked.at, found.value)

    return PanelJacobian(*in_batches(codes, asked.chunks.perturbations, work))


def block(
    at: FactorisedModel,
    code: Float[Tensor, " code"],
    targets: Sequence[int],
    regulators: Sequence[int],
    memory_gb: float,
) -> Block:
    """Return what is asked for, with the sizes in which it is computed; `code` [H] is any perturbation's."""
    fewest, numbers = min(len(targets), len(regulators)), 2 * len(at.point.X) * len(targets) * len(regulators)
    forward = Block(at, targets, regulators, Chunks(1, 1)).forward
    return Block(at, targets, regulators, chunks(at, code, fewest, memory_gb, reverse=not forward, result=numbers))


def one(asked: Block, codes: Float[Tensor, "perturbation code"], weights: CellWeights) -> Passed:
    """Return one pass under a batch of codes: outputs [P, n_sets, cells, T], derivatives [P, n_sets, T, R]."""
    at, rows = asked.at, asked.targets
    along = directions(at, asked.regulators)
    reader: Callable[[Tensor], Tensor] = lambda state: at.ends.decode_linear(state, rows)  # noqa: E731
    if asked.forward:
        return jvp_columns(at, codes, weights, along, reader, asked.chunks.directions)
    value, pulled = vjp_rows(at, codes, weights, len(rows), reader, asked.chunks.directions)
    return Passed(value, pulled @ along.T)


def added(asked: Block, codes: Float[Tensor, "perturbation code"], weightings: Iterable[CellWeights]) -> Passed:
    """Return the sum of several passes; at least one is asked for."""
    passes = (one(asked, codes, weights) for weights in weightings)
    value, derivative = next(passes)
    for each in passes:
        derivative = derivative + each.derivative
    return Passed(value, derivative)


def share_open(
    at: FactorisedModel, outputs: Float[Tensor, "perturbation set cell output"]
) -> Float[Tensor, "perturbation set output"]:
    """Return the share of cells whose output [P, n_sets, cells, T] is not exactly 0, for each target [P, n_sets, T].

    A closed ReLU gives exactly 0; without one an output may be negative and its derivative stands.
    """
    return (cell_weights(at.point)[..., None] * (outputs != 0)).sum(-2)
