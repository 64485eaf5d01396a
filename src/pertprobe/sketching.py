"""Long vectors made short by a random map that keeps inner products: the count sketch.

Each entry is added, with a random sign, to one of m sums drawn for it (Charikar, Chen & Farach-Colton 2002; as
feature hashing: Weinberger et al. 2009). The map is linear, so that differences and what is left without a mean are
sketched as well as the vectors themselves. The inner product of two sketches has the vectors' own as its mean, over
draws of the map, and a variance of at most (|x|^2 |y|^2 + <x, y>^2) / m: a cosine c is off by sqrt((1 + c^2) / m) at
most, in standard deviations, and a squared norm by sqrt(2 / m) of itself.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from pertprobe.seeding import generator


class Sketch(NamedTuple):
    """A map from n numbers to at most `size`."""

    size: int
    buckets: Tensor | None
    """Which sum each entry is added to [n]; None = the vector is short enough to be kept as it is."""
    signs: Tensor | None
    """1 or -1 for each entry [n]."""

    def of(self, values: Tensor, start: int = 0) -> Tensor:
        """Return the sketch [..., size] of vectors [..., n], or of the part of longer ones that begins at `start`.

        The sketch of a vector is the sum of its parts' sketches.
        """
        part = slice(start, start + values.shape[-1])
        found = values.new_zeros(*values.shape[:-1], self.size)
        if self.buckets is None:
            found[..., part] = values
            return found
        return found.index_add_(-1, self.buckets[part].to(values.device), values * self.signs[part].to(values))


@lru_cache(maxsize=2)
def drawn(n: int, size: int, seed: int, *names: object) -> Sketch:
    """Return the map of n numbers that these names draw; the numbers themselves where they are no more than `size`."""
    if n <= size:
        return Sketch(n, None, None)
    rng = generator(seed, "sketch", n, size, *names)
    buckets = torch.as_tensor(rng.integers(size, size=n))
    return Sketch(size, buckets, torch.as_tensor(2.0 * rng.integers(2, size=n) - 1.0))
