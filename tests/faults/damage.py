"""Random damage of every given file: bytes turned, the end cut off, blocks of zeros, stretches written twice."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fault import Fault

FILES = {
    "checkpoint": ("models/a/checkpoints/final.ckpt", 150),
    "map": ("models/a/pert_onehot_map.pt", 60),
    "dims": ("models/a/var_dims.pkl", 60),
    "config of a model": ("models/a/config.yaml", 30),
    "h5ad": ("cells.h5ad", 90),
    "autoencoder": ("sae/sae_weights.safetensors", 60),
    "gene sets": ("programs.gmt", 30),
    "regulons": ("regulons.tsv", 30),
    "split": ("models/a/split.toml", 30),
}
"""What is damaged -> its path, and how often."""
UNGUARDED = ("dims", "config of a model", "h5ad", "autoencoder", "gene sets", "regulons", "split")
"""Formats without a checksum: nobody can tell a turned byte of a number or a name from what was meant. The hash of each
file, in the record of a run, tells the damage from one run to the next."""
Damage = Callable[[bytearray, np.random.Generator], None]


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(data)))
    data[at] ^= 1 << int(rng.integers(8))


def _flips(data: bytearray, rng: np.random.Generator) -> None:
    for at in rng.integers(len(data), size=16):
        data[int(at)] ^= int(rng.integers(1, 256))


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def _zeros(data: bytearray, rng: np.random.Generator) -> None:
    at, size = int(rng.integers(len(data))), max(1, min(512, len(data) // 8))
    data[at : at + size] = bytes(len(data[at : at + size]))


def _twice(data: bytearray, rng: np.random.Generator) -> None:
    at, size = int(rng.integers(len(data))), max(1, min(512, len(data) // 8))
    data[at:at] = data[at : at + size]


KINDS: dict[str, Damage] = {"bit": _flip, "bytes": _flips, "cut": _cut, "zeros": _zeros, "twice": _twice}


def _damaged(name: str, how: Damage, seed: tuple[int, ...]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        path = folder / name
        before = path.read_bytes()
        rng, after = np.random.default_rng(seed), bytearray(before)
        while after == before:
            how(after, rng)
        path.write_bytes(after)

    return make


def faults() -> Iterator[Fault]:
    """Every kind of damage in turn, each drawn from a seed of its own."""
    for number, (what, (path, times)) in enumerate(FILES.items()):
        for i in range(times):
            kind = list(KINDS)[i % len(KINDS)]
            words = (Path(path).name, "models.a", "cells", "programs", "sae", "regulons")
            yield Fault(
                f"damaged {what}/{kind} {i // len(KINDS)}", _damaged(path, KINDS[kind], (number, i)), "either", words
            )
