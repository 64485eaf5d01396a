"""Derivatives of few outputs by few input genes, for many perturbations."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pertprobe.batching import MEMORY_GB
from pertprobe.interpret.jacobian.chunks import Chunks, chunks, in_batches
from pertprobe.interpret.jacobian.linear_ends import FactorisedModel, directions, factorised
from pertprobe.interpret.jacobian.passes import CellWeights, Passed, jvp_columns, vjp_rows, weightings
from pertprobe.interpret.jacobian.points import Derivative, Point, cell_weights
from pertprobe.models.base import Model
from pertprobe.seeding import generator
from pertprobe.shapes import Float


class PanelJacobian(NamedTuple):
    """Derivatives of few targets with respect to few regulators."""

    values: Tensor
    """dY[target] / dX[regulator] [P, n_sets, targets, regulators]."""
    open: Tensor
    """Share of cells whose output for the target is not exactly 0 [P, n_sets, targets]; 0 = a closed output ReLU."""
    gain: Tensor
    """How much a target answers to the other genes [P, n_sets, targets], see `gain_of`; nan where it was not asked."""


class Block(NamedTuple):
    """What is asked for: some outputs along some directions of the input, at one point."""

    at: FactorisedModel
    targets: Sequence[int]
    along: Tensor
    """Directions in what the model reads of a cell [directions, K]: those of regulators first, then `probing` ones."""
    own: int
    """How many of them are of regulators."""
    chunks: Chunks

    @property
    def forward(self) -> bool:
        """Whether forward mode takes fewer passes: one for each direction, against one for each target."""
        return len(self.along) < len(self.targets)


def panel_jacobian(
    model: Model,
    codes: Float[Tensor, "perturbation code"],
    point: Point,
    targets: Sequence[int],
    regulators: Sequence[int],
    derivative: Derivative = "total",
    memory_gb: float = MEMORY_GB,
    probes: int = 0,
) -> PanelJacobian:
    """Return the total or diagonal derivative under codes [P, H], mean over the cells of each set.

    Both are defined in methods.md, The derivative engine. With `probes`, the gain along so many random directions too.

    One vjp for each target serves all directions, or one jvp for each direction all targets, whichever are fewer; sets
    and perturbations go side by side. The diagonal at S cells takes S times as many passes (`hutchinson_diagonal`
    estimates it by few); at the mean cell (`mean_cell_point(..., derivative="diagonal")`) as many as the total.
    Perturbations run in batches of one shape, see `chunks.in_batches`: their numbers are the same for any number of
    shards.
    """
    asked = block(model, point, codes[0], targets, regulators, memory_gb, probes)

    def work(codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives of a batch, what is open, and the gain."""
        found = added(asked, codes, weightings(point, derivative))
        own, probed = found.derivative[..., : asked.own], found.derivative[..., asked.own :]
        return own, share_open(asked.at, found.value), gain_of(probed, probed)

    return PanelJacobian(*in_batches(codes, asked.chunks.perturbations, work))


def block(
    model: Model,
    point: Point,
    code: Float[Tensor, " code"],
    targets: Sequence[int],
    regulators: Sequence[int],
    memory_gb: float,
    probes: int = 0,
) -> Block:
    """Return what is asked for, with the sizes in which it is computed; `code` [H] is any perturbation's."""
    at = factorised(model, point)
    along = torch.cat([directions(at, regulators), probing(at, model.genes, regulators, probes)])
    fewest, numbers = min(len(targets), len(along)), 2 * len(point.X) * len(targets) * len(along)
    made = Block(at, targets, along, len(regulators), Chunks(1, 1))
    return made._replace(chunks=chunks(at, code, fewest, memory_gb, reverse=not made.forward, result=numbers))


def probing(
    at: FactorisedModel, genes: Sequence[str], regulators: Sequence[int], number: int
) -> Float[Tensor, "direction projected"]:
    """Return random directions of all genes but the regulators, as the model reads them [number, K].

    Each gene goes up or down by one unit; signs are drawn in the order of names, the same for every perturbation. Where
    every gene is a regulator, all of them are moved.
    """
    others = sorted(set(range(len(genes))) - set(regulators) or range(len(genes)), key=genes.__getitem__)
    signs = generator(0, "gain").choice([-1.0, 1.0], (number, len(others)))
    moved = directions(at, others)
    return torch.as_tensor(signs).to(moved) @ moved


def gain_of(
    first: Float[Tensor, "perturbation set target direction"],
    second: Float[Tensor, "perturbation set target direction"],
) -> Float[Tensor, "perturbation set target"]:
    """Return the root mean square of a target's derivatives along random directions; nan where there are none.

    Of two independent estimates of them, or twice the same where they are exact: products have no variance of their own
    in their mean. Where that is below zero the gain is 0, which is not known to be more.

    With independent signs its square has the squared norm of the derivative by these genes as its mean (Hutchinson
    1990). What multiplies the whole derivative of an output, as the slope of a softplus or the share of open cells
    does, multiplies it by as much, whatever the signs.
    """
    return (first * second).mean(-1).clamp_min(0).sqrt()


def one(asked: Block, codes: Float[Tensor, "perturbation code"], weights: CellWeights) -> Passed:
    """Return one pass under a batch of codes: outputs [P, n_sets, cells, T], derivatives [P, n_sets, T, R]."""
    at, rows, along = asked.at, asked.targets, asked.along
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
