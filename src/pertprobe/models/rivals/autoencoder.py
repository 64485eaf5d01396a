"""Rivals that are small autoencoders of cells."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pertprobe.seeding import seed_of
from pertprobe.shapes import Array, Num


class Size(NamedTuple):
    """Of an autoencoder, and how it is trained."""

    hidden: int
    code: int
    noise: float = 0.1
    """Share of values that are set to zero before it reads a cell: it must foretell them from the others."""


SIZES = (Size(32, 6), Size(64, 12), Size(256, 32))
"""The autoencoders of a run."""
STEPS, BATCH, RATE = 1200, 128, 2e-3


class Autoencoder(nn.Module):
    """Two layers down, two layers up, over standardised genes."""

    def __init__(self, genes: int, size: Size) -> None:
        """Make one for so many genes, with fresh weights; `fitted` makes one that knows cells."""
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.zeros(genes))
        self.register_buffer("sd", torch.ones(genes))
        widths = (genes, size.hidden, size.code, size.hidden, genes)
        first, second, third, last = (nn.Linear(*each) for each in pairwise(widths))
        self.net = nn.Sequential(first, nn.GELU(), second, third, nn.GELU(), last)

    @classmethod
    def fitted(cls, cells: Num[Array, "cell gene"], size: Size, seed: int) -> "Autoencoder":
        """Return one that is fitted to cells, by Adam over batches drawn by the seed."""
        source = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found = cls(cells.shape[1], size)
        found.mean = torch.as_tensor(cells.mean(axis=0), dtype=torch.float32)
        # Genes that hardly vary would otherwise be read as if their noise were signal.
        found.sd = torch.as_tensor(cells.std(axis=0) + 0.1, dtype=torch.float32)
        found._fit((torch.as_tensor(cells, dtype=torch.float32) - found.mean) / found.sd, size.noise, source)
        return found

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


def seeded(name: str, size: Size, seed: int) -> int:
    """Return the seed of one autoencoder, by names."""
    return seed_of(seed, "rival", name, size.hidden, size.code)
