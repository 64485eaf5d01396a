"""Work in blocks: units assigned to jobs, the memory of one, one thread for training, progress in the log."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

BLOCK = 8
"""Units that stay together, at least. Probes may compute them in batches of this many, or of a power of 2 that is
smaller: which units share a batch is then the same for any number of shards, and with it the last bit of every
number."""
WIDEST, BLOCKS = 128, 12
"""Many units stay together in larger blocks, since every batch reads all weights of a model: at most this many, and at
least so many blocks, each of which can be a job."""
MEMORY_GB = 1.0
"""Memory that a derivative or a batch of knock-outs may use on top of its result, where the config does not say."""
T = TypeVar("T")
_ASSIGNED: ContextVar[int] = ContextVar("assigned", default=BLOCK)


def block_of(n_units: int) -> int:
    """Return how many of so many units stay together, a power of 2."""
    return max(BLOCK, min(WIDEST, power_of_2(n_units // BLOCKS)))


def power_of_2(n: int) -> int:
    """Return the largest power of 2 that is at most n, at least 1."""
    return 1 << max(n, 1).bit_length() - 1


def units_of_shard(units: Iterable[str], shard: int, shards: int) -> list[str]:
    """Return the units of one shard, sorted: block i of the sorted names goes to shard i mod `shards`."""
    names = sorted(units)
    return [name for block in chunked(names, block_of(len(names)))[shard::shards] for name in block]


def chunked(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return items in blocks of a size, the last of what is left."""
    return [items[start : start + size] for start in range(0, len(items), size)]


@contextmanager
def assigned(n_units: int) -> Iterator[None]:
    """Compute what follows as a shard of so many units is: its batches are as large as its blocks."""
    outside = _ASSIGNED.set(block_of(n_units))
    try:
        yield
    finally:
        _ASSIGNED.reset(outside)


def batch_block() -> int:
    """Return how many units stay together in the measurement that is being made; BLOCK where none is."""
    return _ASSIGNED.get()


SECONDS_BETWEEN_LINES = 5.0

log = logging.getLogger(__name__)


def counted(items: Collection[T], what: str) -> Iterator[T]:
    """Yield `items`, logging every few seconds how many of `what` are done, how many there are, and the rate."""
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_LINES:
            log.info("%s: %d of %d, %.3g per second", what, done, len(items), done / (now - started))
            last = now
        yield item
    log.info("%s: %d done in %.1f s", what, len(items), time.monotonic() - started)


@contextmanager
def one_thread() -> Iterator[None]:
    """Give torch one thread inside; jobs train beside each other instead, one on each core."""
    import torch  # two seconds, for training alone

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
