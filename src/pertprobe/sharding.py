"""How the units of a measurement are dealt to its jobs, and how much one of them may hold."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

BLOCK = 8
"""Units that stay together. Probes may compute them in batches of this many, or of a power of 2 that is smaller: who
shares a batch with whom is then the same for any number of shards, and with it the last bit of every number."""
WIDE_BLOCK, MANY = 64, 512
"""The same where there are so many units: a batch reads all weights of a model, and few jobs are lost."""
MEMORY_GB = 1.0
"""Memory that a derivative or a batch of knock-outs may use beside its result, where it is not told."""
_DEALT: ContextVar[int] = ContextVar("dealt", default=BLOCK)


def block_of(n_units: int) -> int:
    """Return how many of so many units stay together."""
    return BLOCK if n_units < MANY else WIDE_BLOCK


def units_of_shard(units: Iterable[str], shard: int, shards: int) -> list[str]:
    """Return the units of one shard, sorted: block i of the sorted names goes to shard i mod `shards`."""
    names = sorted(units)
    size = block_of(len(names))
    blocks = [names[start : start + size] for start in range(0, len(names), size)]
    return [name for block in blocks[shard::shards] for name in block]


@contextmanager
def dealt(n_units: int) -> Iterator[None]:
    """Compute what follows as a shard of so many units is: its batches are as large as its blocks."""
    outside = _DEALT.set(block_of(n_units))
    try:
        yield
    finally:
        _DEALT.reset(outside)


def block() -> int:
    """Return how many units stay together in the measurement that is being made; BLOCK where none is."""
    return _DEALT.get()
