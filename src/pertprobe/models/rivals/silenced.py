"""What anything that returns cells says of cells in which a gene is silenced."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pertprobe.shapes import Array, Float, Integer, Num

AT_ONCE = 4096
"""Cells that are read at once."""


def silenced_shifts(
    net: Callable[[Tensor], Tensor],
    cells: Num[Array, "cell gene"],
    genes: Integer[Array, " unit"],
    left: Sequence[float] | np.ndarray,
) -> Float[Array, "unit gene"]:
    """Return how the mean of what a net returns moves when each gene is multiplied in all cells by what is left of it.

    Args:
        net: cells -> cells.
        cells: control cells.
        genes: the genes that are silenced, one after another.
        left: share of its expression that each keeps; 0: none.
    """
    given = torch.as_tensor(np.asarray(cells), dtype=torch.float32)
    with torch.no_grad():
        before = _mean(net, given)
        found = []
        for gene, share in zip(genes, left, strict=True):
            edited = given.clone()
            edited[:, gene] *= float(share)
            found.append(_mean(net, edited) - before)
    return torch.stack(found).numpy().astype(np.float64)


def _mean(net: Callable[[Tensor], Tensor], cells: Tensor) -> Tensor:
    return sum(net(part).sum(dim=0, dtype=torch.float64) for part in cells.split(AT_ONCE)) / len(cells)
