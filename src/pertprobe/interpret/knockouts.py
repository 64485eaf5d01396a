"""What a model answers when one input gene is silenced in every cell, for many genes at once."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from pertprobe.batching import MEMORY_GB
from pertprobe.interpret.jacobian.chunks import batch_limit, chunks, each_batch, in_batches
from pertprobe.interpret.jacobian.linear_ends import Between, between, directions, hidden
from pertprobe.interpret.jacobian.points import Point, shares
from pertprobe.models.base import Model
from pertprobe.models.forward_mode import jvp

Value = Literal["zero", "mean"]
"""What a silenced gene is set to: zero, or its mean over each set."""
Work = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Given the numbers of codes [B], what cells lose of a gene under each [B, n_sets, S], and the genes' directions
[B, K], returns numbers of the sets' mean outputs [B, n_sets, G_out]."""


def silenced(values: np.ndarray, gene: int, value: Value) -> np.ndarray:
    """Return a copy of the cells [n_sets, S, G] with one gene silenced."""
    edited = values.copy()
    edited[..., gene] = 0.0 if value == "zero" else values[..., gene].mean(axis=-1, keepdims=True)
    return edited


def knockout_shifts(
    model: Model,
    codes: Tensor,
    point: Point,
    genes: Sequence[int],
    value: Value,
    share: float = 1.0,
    memory_gb: float = MEMORY_GB,
) -> Tensor:
    """Return how each set's mean output moves when a gene is silenced [P, genes, n_sets, G_out], under codes [P, H].

    Silencing a gene moves what the model reads of a cell along that gene's column of the first Linear alone: an update
    of rank one in place of the whole product. `share`: how much of what they lose cells lose, 0.5 = half a knock-out.
    """
    at = between(model, point)
    size = _at_once(at, codes[0], memory_gb)
    with torch.no_grad():
        (before,) = in_batches(codes, size, lambda each: (_mean_output(at, each, at.projected),))

    def moved(rows: Tensor, lost: Tensor, along: Tensor) -> Tensor:
        """Return how far the mean output moves where cells lose this."""
        projected = at.projected - share * lost[..., None] * along[:, None, None]
        return _mean_output(at, codes[rows], projected) - before[rows]

    return _each_gene(at, len(codes), genes, value, moved, size)


def knockout_predictions(
    model: Model, codes: Tensor, point: Point, genes: Sequence[int], value: Value, memory_gb: float = MEMORY_GB
) -> Tensor:
    """Return the same to first order: the derivative at the cells along what they lose, - sum_s dY/dX_s lost_s.

    One pass of forward mode for each gene, no Jacobian is made. The derivative is the total one: each cell's output
    moves by what every cell loses.
    """
    at = between(model, point)

    def one(code: Tensor, lost: Tensor, along: Tensor) -> Tensor:
        """Return the derivative along what one gene's silencing takes from the cells."""
        tangent = -lost[..., None] * along
        return jvp(lambda projected: _mean_output(at, code[None], projected)[0], (at.projected,), (tangent,))[1]

    def foretold(rows: Tensor, lost: Tensor, along: Tensor) -> Tensor:
        """Return the derivatives of a batch."""
        return vmap(one)(codes[rows], lost, along)

    return _each_gene(at, len(codes), genes, value, foretold, _at_once(at, codes[0], memory_gb))


def mean_lost(values: np.ndarray, genes: Sequence[int], value: Value) -> np.ndarray:
    """Return the mean size of what the cells of each set lose of each gene [genes, n_sets]."""
    return _lost(torch.as_tensor(values), genes, value).abs().mean(-1).numpy()


def _lost(X: Tensor, genes: Sequence[int], value: Value) -> Tensor:
    """Return what each cell loses of each gene [genes, n_sets, S]."""
    expressed = X[..., list(genes)].movedim(-1, 0)
    return expressed if value == "zero" else expressed - expressed.mean(-1, keepdim=True)


def _at_once(at: Between, code: Tensor, memory_gb: float) -> int:
    """Return how many silenced genes are run at once."""
    return chunks(at, code, 1, memory_gb, reverse=False).perturbations


def _each_gene(at: Between, codes: int, genes: Sequence[int], value: Value, work: Work, size: int) -> Tensor:
    """Return what `work` makes of each gene under each of so many codes [codes, genes, n_sets, G_out], `size` at once.

    Batches lie within blocks of genes, which are the same for any number of shards (`chunks.in_batches`). A gene that
    no cell loses anything of moves nothing, and is not run.
    """
    lost, along = _lost(at.point.X, genes, value), directions(at, genes)
    pairs = torch.cartesian_prod(torch.arange(codes), torch.arange(len(genes))).to(lost.device)
    moved = lost.flatten(1).any(1)[pairs[:, 1]]
    found = torch.zeros(len(pairs), len(lost[0]), at.outputs, dtype=lost.dtype, device=lost.device)
    limit = batch_limit(lost)
    run = [block[kept] for block, kept in zip(pairs.split(limit), moved.split(limit), strict=True)]
    batches = [part for block in run if len(block) for part in block.split(size)]

    def batch(rows: Tensor) -> tuple[Tensor]:
        """Return the numbers of some pairs of a code and a gene."""
        code, gene = rows.T
        return (work(code, lost[gene], along[gene]),)

    if batches:
        with torch.no_grad():
            (found[moved],) = each_batch(batches, size, batch, f"silenced genes, batches of {size}")
    return found.unflatten(0, (codes, len(genes)))


def _mean_output(at: Between, codes: Tensor, projected: Tensor) -> Tensor:
    """Return the mean output of each set [P, n_sets, G_out]."""
    outputs = at.narrow.expand(hidden(at, codes, projected), None)
    return (shares(at.point)[..., None] * outputs).sum(-2)
