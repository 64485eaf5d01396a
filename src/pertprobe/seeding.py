"""Seeds drawn from names, never from positions: the same thing gets the same draw in any shard and any order."""

import hashlib

import numpy as np


def seed_of(seed: int, *names: object) -> int:
    """Return a 63-bit seed for the thing called `names` in a run with this `seed` (SHA-256 of the joined names)."""
    text = "\x1f".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return numpy's generator seeded by `seed_of`."""
    return np.random.default_rng(seed_of(seed, *names))
