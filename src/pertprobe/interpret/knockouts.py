"""In-silico knock-outs: what a model answers when one input gene is silenced in every cell, for many genes at once."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from pertprobe.batching import MEMORY_GB
from pertprobe.interpret.jacobian.chunks import batch_limit, chunks, each_batch, in_batches
from pertprobe.interpret.jacobian.linear_ends import FactorisedModel, directions, factorised, hidden
from pertprobe.interpret.jacobian.points import Point, cell_weights
from pertprobe.models.base import Model
from pertprobe.models.forward_mode import jvp

Level = Literal["zero", "mean"] | float
"""What a silenced gene is set to: zero, its mean over each set, or in every cell this share of what the cell has."""
Levels = Level | Sequence[float]
"""The same of several genes: one for all, or a share for each."""
Work = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Given the numbers of codes [B], the expression of a gene that is removed from cells under each [B, n_sets, S], and
the genes' directions [B, K], returns numbers of the sets' mean outputs [B, n_sets, G_out]."""


def knocked_out(values: np.ndarray, gene: int, value: Level) -> np.ndarray:
    """Return a copy of the cells [n_sets, S, G] with one gene knocked out."""
    edited, before = values.copy(), values[..., gene]
    edited[..., gene] = before.mean(axis=-1, keepdims=True) if value == "mean" else before * _share(value)
    return edited


def knockout_shifts(
    model: Model,
    codes: Tensor,
    point: Point,
    genes: Sequence[int],
    value: Levels,
    share: float = 1.0,
    memory_gb: float = MEMORY_GB,
) -> Tensor:
    """Return how each set's mean output moves when a gene is silenced [P, genes, n_sets, G_out], under codes [P, H].

    Silencing a gene moves what the model reads of a cell along that gene's column of the first Linear alone: an update
    of rank one in place of the whole product. `share`: how much of it is removed, 0.5 = half a knock-out.
    """
    at = factorised(model, point)
    size = _at_once(at, codes[0], memory_gb)
    with torch.no_grad():
        (before,) = in_batches(codes, size, lambda each: (_mean_output(at, each, at.projected),))

    def moved(rows: Tensor, removed: Tensor, along: Tensor) -> Tensor:
        """Return how far the mean output moves where this is removed."""
        projected = at.projected - share * removed[..., None] * along[:, None, None]
        return _mean_output(at, codes[rows], projected) - before[rows]

    return _each_gene(at, len(codes), genes, value, moved, size)


def knockout_predictions(
    model: Model, codes: Tensor, point: Point, genes: Sequence[int], value: Levels, memory_gb: float = MEMORY_GB
) -> Tensor:
    """Return the same to first order: the derivative at the cells along what is removed, - sum_s dY/dX_s removed_s.

    One pass of forward mode for each gene, no Jacobian is made. The derivative is the total one: each cell's output
    moves by what is removed from every cell.
    """
    at = factorised(model, point)

    def one(code: Tensor, removed: Tensor, along: Tensor) -> Tensor:
        """Return the derivative along what one gene's knock-out removes from the cells."""
        tangent = -removed[..., None] * along
        return jvp(lambda projected: _mean_output(at, code[None], projected)[0], (at.projected,), (tangent,))[1]

    def predicted(rows: Tensor, removed: Tensor, along: Tensor) -> Tensor:
        """Return the derivatives of a batch."""
        return vmap(one)(codes[rows], removed, along)

    return _each_gene(at, len(codes), genes, value, predicted, _at_once(at, codes[0], memory_gb))


def mean_removed(values: np.ndarray, genes: Sequence[int], value: Levels) -> np.ndarray:
    """Return the mean size of the expression that a knock-out removes, of each gene in each set [genes, n_sets]."""
    return _removed(torch.as_tensor(values), genes, value).abs().mean(-1).numpy()


def _removed(X: Tensor, genes: Sequence[int], value: Levels) -> Tensor:
    """Return the expression of each gene that its knock-out removes from each cell [genes, n_sets, S]."""
    expressed = X[..., list(genes)].movedim(-1, 0)
    if value == "mean":
        return expressed - expressed.mean(-1, keepdim=True)
    return expressed * (1 - torch.as_tensor(_share(value), dtype=X.dtype, device=X.device)).reshape(-1, 1, 1)


def _share(value: Levels) -> float | Sequence[float]:
    """Return the share of its expression that a gene keeps, where that is not its mean."""
    return 0.0 if value == "zero" else value


def _at_once(at: FactorisedModel, code: Tensor, memory_gb: float) -> int:
    """Return how many knock-outs are run at once."""
    return chunks(at, code, 1, memory_gb, reverse=False).perturbations


def _each_gene(at: FactorisedModel, codes: int, genes: Sequence[int], value: Levels, work: Work, size: int) -> Tensor:
    """Return what `work` makes of each gene under each of so many codes [codes, genes, n_sets, G_out], `size` at once.

    Batches lie within blocks of genes, which are the same for any number of shards (`chunks.in_batches`). A gene that
    is removed from no cell moves nothing, and is not run.
    """
    removed, along = _removed(at.point.X, genes, value), directions(at, genes)
    pairs = torch.cartesian_prod(torch.arange(codes), torch.arange(len(genes))).to(removed.device)
    moved = removed.flatten(1).any(1)[pairs[:, 1]]
    found = torch.zeros(len(pairs), len(removed[0]), at.outputs, dtype=removed.dtype, device=removed.device)
    limit = batch_limit(removed)
    run = [block[kept] for block, kept in zip(pairs.split(limit), moved.split(limit), strict=True)]
    batches = [part for block in run if len(block) for part in block.split(size)]

    def batch(rows: Tensor) -> tuple[Tensor]:
        """Return the numbers of some pairs of a code and a gene."""
        code, gene = rows.T
        return (work(code, removed[gene], along[gene]),)

    if batches:
        with torch.no_grad():
            (found[moved],) = each_batch(batches, size, batch, f"knock-outs, batches of {size}")
    return found.unflatten(0, (codes, len(genes)))


def _mean_output(at: FactorisedModel, codes: Tensor, projected: Tensor) -> Tensor:
    """Return the mean output of each set [P, n_sets, G_out]."""
    outputs = at.ends.decode_linear(hidden(at, codes, projected), None)
    return (cell_weights(at.point)[..., None] * outputs).sum(-2)
