"""What a model answers when one input gene is silenced in every cell, for many genes at once."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from pertprobe.forward import jvp
from pertprobe.jacobian.between import Between, between, directions, hidden
from pertprobe.jacobian.chunks import LIVE, batch_limit, footprint, in_batches
from pertprobe.jacobian.points import Point, shares
from pertprobe.models.base import Model
from pertprobe.sharding import MEMORY_GB

Value = Literal["zero", "mean"]
"""What a silenced gene is set to: zero, or its mean over each set."""
Work = Callable[[Tensor, Tensor], Tensor]
"""Given what cells lose of some genes [B, n_sets, S] and the genes' directions [B, K], returns numbers of the sets'
mean outputs [B, n_sets, G_out]."""


def silenced(values: np.ndarray, gene: int, value: Value) -> np.ndarray:
    """Return a copy of the cells [n_sets, S, G] with one gene silenced."""
    edited = values.copy()
    edited[..., gene] = 0.0 if value == "zero" else values[..., gene].mean(axis=-1, keepdims=True)
    return edited


def knockout_shifts(
    model: Model,
    code: Tensor,
    point: Point,
    genes: Sequence[int],
    value: Value,
    share: float = 1.0,
    memory_gb: float = MEMORY_GB,
) -> Tensor:
    """Return how the mean output of each set moves when a gene is silenced [genes, n_sets, G_out], under a code [H].

    Silencing a gene moves what the model reads of a cell along that gene's column of the first Linear alone: an update
    of rank one in place of the whole product. `share`: how much of what they lose cells lose, 0.5 = half a knock-out.
    """
    at = between(model, point)
    with torch.no_grad():
        before = _mean_output(at, code[None], at.projected)

    def moved(lost: Tensor, along: Tensor) -> Tensor:
        """Return how far the mean output moves where cells lose this."""
        projected = at.projected - share * lost[..., None] * along[:, None, None]
        return _mean_output(at, code.expand(len(lost), -1), projected) - before

    return _each_gene(at, code, genes, value, moved, memory_gb)


def knockout_predictions(
    model: Model, code: Tensor, point: Point, genes: Sequence[int], value: Value, memory_gb: float = MEMORY_GB
) -> Tensor:
    """Return the same to first order: the derivative at the cells along what they lose, - sum_s dY/dX_s lost_s.

    One pass of forward mode for each gene, no Jacobian is made. The derivative is the total one: each cell's output
    moves by what every cell loses.
    """
    at = between(model, point)

    def one(lost: Tensor, along: Tensor) -> Tensor:
        """Return the derivative along what one gene's silencing takes from the cells."""
        tangent = -lost[..., None] * along
        return jvp(lambda projected: _mean_output(at, code[None], projected)[0], (at.projected,), (tangent,))[1]

    return _each_gene(at, code, genes, value, vmap(one), memory_gb)


def mean_lost(values: np.ndarray, genes: Sequence[int], value: Value) -> np.ndarray:
    """Return the mean size of what the cells of each set lose of each gene [genes, n_sets]."""
    return _lost(torch.as_tensor(values), genes, value).abs().mean(-1).numpy()


def _lost(X: Tensor, genes: Sequence[int], value: Value) -> Tensor:
    """Return what each cell loses of each gene [genes, n_sets, S]."""
    expressed = X[..., list(genes)].movedim(-1, 0)
    return expressed if value == "zero" else expressed - expressed.mean(-1, keepdim=True)


def _each_gene(at: Between, code: Tensor, genes: Sequence[int], value: Value, work: Work, memory_gb: float) -> Tensor:
    """Return what `work` makes of each gene [genes, n_sets, G_out], in batches of one shape (`chunks.in_batches`).

    A gene that no cell loses anything of moves nothing, and is not run.
    """
    lost, along = _lost(at.point.X, genes, value), directions(at, genes)
    moved = lost.flatten(1).any(1).nonzero().squeeze(1)
    found = torch.zeros(len(genes), len(lost[0]), at.outputs, dtype=lost.dtype, device=lost.device)
    size = max(1, min(batch_limit(code), int(memory_gb * 1e9 // (LIVE * footprint(at, code).largest))))
    if len(moved):
        with torch.no_grad():
            (found[moved],) = in_batches(moved, size, lambda rows: (work(lost[rows], along[rows]),))
    return found


def _mean_output(at: Between, codes: Tensor, projected: Tensor) -> Tensor:
    """Return the mean output of each set [P, n_sets, G_out]."""
    outputs = at.narrow.expand(hidden(at, codes, projected), None)
    return (shares(at.point)[..., None] * outputs).sum(-2)
