"""Hutchinson's estimate of the diagonal derivative, to an error that is asked for; and what is off the diagonal."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pertprobe.batching import MEMORY_GB
from pertprobe.interpret.jacobian.chunks import in_batches
from pertprobe.interpret.jacobian.panel import Block, added, block, gain_of, one, share_open
from pertprobe.interpret.jacobian.passes import check_single, each_cell, probing_weights, total
from pertprobe.interpret.jacobian.points import Point
from pertprobe.models.base import Model
from pertprobe.seeding import generator
from pertprobe.shapes import Float

PILOT = 2
"""Draws of a half before the number of the other half's is settled."""
MANY = 2.0**20
"""More draws than anyone wants: a block that cannot be told from 0."""


class DiagonalEstimate(NamedTuple):
    """The diagonal derivative of a block under many perturbations."""

    halves: Tensor
    """Means of two independent halves of the draws [P, 2, n_sets, T, R]; both are the exact derivative where that was
    computed. Their mean is the estimate; their inner product estimates a squared norm without bias."""
    error: Tensor
    """Frobenius standard error of the block over its norm, all sets together [P]; 0 where exact, nan of one draw."""
    draws: Tensor
    """Draws used for each perturbation, both halves together [P]; 0 where exact."""
    total: Tensor
    """The total derivative, exact [P, n_sets, T, R]."""
    open: Tensor
    """Share of cells whose output for the target is not exactly 0 [P, n_sets, T]."""
    gain: Tensor
    """That of the diagonal [P, n_sets, T], from the two halves (`panel.gain_of`); nan where it was not asked."""

    @property
    def values(self) -> Tensor:
        """The estimate [P, n_sets, T, R]."""
        return self.halves.mean(1)


def hutchinson_diagonal(
    model: Model,
    codes: Float[Tensor, "perturbation code"],
    point: Point,
    targets: Sequence[int],
    regulators: Sequence[int],
    *,
    error: float,
    seed: int,
    memory_gb: float = MEMORY_GB,
    probes: int = 0,
) -> DiagonalEstimate:
    """Return the diagonal derivative under codes [P, H] to a relative standard error.

    Source: methods.md, The derivative engine. With `probes`, the gain along so many random directions too.

    One pass gives e = sum_s sum_s' w_s z_s z_s' dY_s/dX_s', z_s = +1 or -1. Independent signs have the diagonal as its
    mean (Hutchinson 1990). Here as many are +1 as -1, one more where S is odd: two signs then have the correlation
    r = (B^2 - S) / (S (S - 1)), B = 0 or 1 their sum, and e the mean diagonal + r (total - diagonal), so that
    (e - r total) / (1 - r) is unbiased. What all cells do alike to all others cancels in every draw: the error is that
    of what is left.

    Draws come in two halves. How many the one takes is settled by the first PILOT draws of the other, so that no mean
    depends on when it was stopped: the estimate stays unbiased. Where more than S draws were needed the exact
    derivative is computed (S passes), and always where `error` is 0. Where it is infinite one draw is made, as both
    halves, and its error is nan: not known.

    Signs are drawn by seed, half and number, the same for every perturbation. Entries, linear averages and norms from
    the halves are unbiased; |J| and ranks are not: compare those of the two halves.
    """
    check_single(point)
    asked = block(model, point, codes[0], targets, regulators, memory_gb, probes)

    def work(codes: Tensor) -> tuple[Tensor, ...]:
        """Return the estimates of a batch, its total derivative, what is open, and the gain."""
        outputs, whole = one(asked, codes, total(point))
        halves, spent, number = _batch(asked, codes, whole, error, seed)
        own, gain = halves[..., : asked.own], gain_of(*halves[..., asked.own :].unbind(1))
        return own, spent, number, whole[..., : asked.own], share_open(asked.at, outputs), gain

    return DiagonalEstimate(*in_batches(codes, asked.chunks.perturbations, work))


class _Half(NamedTuple):
    """One half of the draws of a batch; probing directions beside regulators, R in all, have no say in how many."""

    mean: Tensor
    """[B, n_sets, T, R]."""
    variance: Tensor
    """Of one draw, Frobenius, all sets together, regulators alone [B]."""
    draw: Callable[[int], Tensor]
    """Given a number, returns the estimate of that draw [B, n_sets, T, R]."""
    own: int
    """How many of R are regulators."""

    def inner(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the inner product of two such values over regulators [B]."""
        return (a * b)[..., : self.own].flatten(1).sum(1)


def _batch(asked: Block, codes: Tensor, whole: Tensor, error: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    cells = asked.at.point.X.shape[-2]
    if error <= 0 or cells == 1:
        return _exact(asked, codes)
    if math.isinf(error):
        return _in_both_halves(_drawing(asked, codes, whole, seed, half=0)(0), math.nan, 1)
    pilots = [_pilot(asked, codes, whole, seed, half) for half in range(2)]
    wanted = torch.stack([_needed(other, error) for other in reversed(pilots)])
    exact = wanted.sum(0) > cells
    wanted = wanted.masked_fill(exact, PILOT)
    halves = [_continued(pilot, n) for pilot, n in zip(pilots, wanted, strict=True)]
    found = torch.stack([half.mean for half in halves], dim=1), _error(halves, wanted), wanted.sum(0)
    if not exact.any():
        return found
    known = _exact(asked, codes)[0]
    chosen = torch.where(exact.view(-1, 1, 1, 1, 1), known, found[0])
    return chosen, found[1].masked_fill(exact, 0.0), found[2].masked_fill(exact, 0)


def _exact(asked: Block, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _in_both_halves(added(asked, codes, each_cell(asked.at.point)).derivative, 0.0, 0)


def _in_both_halves(values: Tensor, error: float, draws: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return values [B, n_sets, T, R] as both halves, with the error and the draws of each perturbation."""
    n = len(values)
    return torch.stack([values, values], dim=1), values.new_full((n,), error), torch.full((n,), draws).to(values.device)


def probing_vectors(point: Point, seed: int, half: int, number: int) -> Float[Tensor, "set cell"]:
    """Return one draw of probing vectors [n_sets, cells]: random signs, in each set as many +1 as -1 or one more."""
    n_sets, cells = point.X.shape[:-1]
    rng = generator(seed, "signs", half, number)
    drawn = rng.permuted((-1.0) ** torch.arange(cells).expand(n_sets, -1).numpy(), axis=1)
    return torch.as_tensor(drawn).to(point.X)


def correlation(cells: int) -> float:
    """Return the correlation of two signs of a draw."""
    return (cells % 2 - cells) / (cells * (cells - 1))


def _drawing(asked: Block, codes: Tensor, whole: Tensor, seed: int, half: int) -> Callable[[int], Tensor]:
    """Return what makes a draw, given its number [B, n_sets, T, R]."""
    point, r = asked.at.point, correlation(asked.at.point.X.shape[-2])

    def draw(number: int) -> Tensor:
        """Return the estimate of the draw of this number."""
        passed = one(asked, codes, probing_weights(point, probing_vectors(point, seed, half, number))).derivative
        return (passed - r * whole) / (1 - r)

    return draw


def _pilot(asked: Block, codes: Tensor, whole: Tensor, seed: int, half: int) -> _Half:
    draw = _drawing(asked, codes, whole, seed, half)
    drawn = torch.stack([draw(number) for number in range(PILOT)])
    return _Half(drawn.mean(0), drawn.var(0)[..., : asked.own].flatten(1).sum(1), draw, asked.own)


def _needed(other: _Half, error: float) -> Tensor:
    """Return the draws of a half [B], by the other's pilot: the mean of two such halves is to have the error."""
    squared = other.inner(other.mean, other.mean) - other.variance / PILOT
    allowed = (2 * error**2 * squared).clamp_min(torch.finfo(squared.dtype).tiny)
    return torch.ceil(other.variance / allowed).clamp(PILOT, MANY).long()


def _continued(pilot: _Half, wanted: Tensor) -> _Half:
    """Return the half with as many draws as each perturbation wants [B]; every draw is made for the whole batch."""
    mean, squares = pilot.mean.clone(), pilot.variance * (PILOT - 1)
    for number in range(PILOT, int(wanted.max())):
        apart = (pilot.draw(number) - mean) * (number < wanted).view(-1, 1, 1, 1)
        mean += apart / (number + 1)
        squares += pilot.inner(apart, apart) * number / (number + 1)
    return pilot._replace(mean=mean, variance=squares / (wanted - 1))


def _error(halves: Sequence[_Half], wanted: Tensor) -> Tensor:
    """Return the relative standard error of the mean of two halves [B], by each half's own spread.

    A half's draws did not settle their own number: spread over number has the variance of its mean as its mean.
    """
    spread = sum(half.variance / n for half, n in zip(halves, wanted, strict=True)) / 4
    squared = halves[0].inner(halves[0].mean, halves[1].mean)
    return (spread / squared.clamp_min(torch.finfo(squared.dtype).tiny)).sqrt()


def block_norms(
    halves: Float[Tensor, "perturbation 2 set target regulator"],
    total: Float[Tensor, "perturbation set target regulator"],
) -> tuple[Float[Tensor, "perturbation set"], Float[Tensor, "perturbation set"]]:
    """Return squared Frobenius norms of a block within cells and across them [P, n_sets].

    Within: of the diagonal, one cell's output by its own input. Across: of the total less the diagonal, by the other
    cells' inputs; its share of the sum of both is the between-cell share. They come from two independent estimates of
    the diagonal [P, 2, n_sets, T, R], and the total.

    The inner product of two independent unbiased estimates has the squared norm as its mean, where the squared norm of
    their average is too large by its variance (methods.md, The derivative engine). A norm that is nearly 0 may come out
    below 0.
    """
    first, second = halves[:, 0], halves[:, 1]
    return (first * second).sum((-2, -1)), ((total - first) * (total - second)).sum((-2, -1))
