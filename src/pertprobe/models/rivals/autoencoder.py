"""Rivals that are small autoencoders of cells: what a net returns for cells in which a gene is silenced."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pertprobe.seeding import seed_of
from pertprobe.shapes import Array, Float, Integer, Num


class Size(NamedTuple):
    """Of an autoencoder, and how it is trained."""

    hidden: int
    code: int
    noise: float = 0.1
    """Share of values that are set to zero before it reads a cell: it must foretell them from the others."""


SIZES = (Size(32, 6), Size(64, 12), Size(256, 32))
"""The autoencoders of a run."""
STEPS, BATCH, RATE = 1200, 128, 2e-3
AT_ONCE = 4096
"""Cells that a net reads at once."""


class Autoencoder(nn.Module):
    """Two layers down, two layers up, over standardised genes."""

    def __init__(self, cells: Num[Array, "cell gene"], size: Size, seed: int) -> None:
        """Fit an autoencoder to cells, by Adam over batches drawn by the seed."""
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(cells.mean(axis=0), dtype=torch.float32))
        # Genes that hardly vary would otherwise be read as if their noise were signal.
        self.register_buffer("sd", torch.as_tensor(cells.std(axis=0) + 0.1, dtype=torch.float32))
        genes, source = cells.shape[1], torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = (genes, size.hidden, size.code, size.hidden, genes)
            first, second, third, last = (nn.Linear(*each) for each in pairwise(widths))
            self.net = nn.Sequential(first, nn.GELU(), second, third, nn.GELU(), last)
        self._fit((torch.as_tensor(cells, dtype=torch.float32) - self.mean) / self.sd, size.noise, source)

    def _fit(self, cells: Tensor, noise: float, source: torch.Generator) -> None:
        optimiser = torch.optim.Adam(self.net.parameters(), RATE)
        with torch.enable_grad():
            for _ in range(STEPS):
                batch = cells[torch.randint(len(cells), (BATCH,), generator=source)]
                kept = torch.rand(batch.shape, generator=source) >= noise
                loss = (self.net(batch * kept) - batch).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    def forward(self, cells: Tensor) -> Tensor:
        """Return cells [cell, gene] as it returns them."""
        return self.net((cells - self.mean) / self.sd) * self.sd + self.mean


def autoencoder_shifts(
    net: nn.Module, cells: Num[Array, "cell gene"], genes: Integer[Array, " unit"], left: Sequence[float] | np.ndarray
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


def _mean(net: nn.Module, cells: Tensor) -> Tensor:
    return sum(net(part).sum(dim=0, dtype=torch.float64) for part in cells.split(AT_ONCE)) / len(cells)


def seeded(name: str, size: Size, seed: int) -> int:
    """Return the seed of one autoencoder, by names."""
    return seed_of(seed, "rival", name, size.hidden, size.code)
