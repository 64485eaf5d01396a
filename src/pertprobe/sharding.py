"""How the units of a measurement are dealt to its jobs, and how much one of them may hold."""

from collections.abc import Iterable

BLOCK = 8
"""Units that stay together. Probes may compute them in batches of this many, or of a power of 2 that is smaller: who
shares a batch with whom is then the same for any number of shards, and with it the last bit of every number."""
MEMORY_GB = 1.0
"""Memory that a derivative or a batch of knock-outs may use beside its result, where it is not told."""


def units_of_shard(units: Iterable[str], shard: int, shards: int) -> list[str]:
    """Return the units of one shard, sorted: block i of the sorted names goes to shard i mod `shards`."""
    names = sorted(units)
    blocks = [names[start : start + BLOCK] for start in range(0, len(names), BLOCK)]
    return [name for block in blocks[shard::shards] for name in block]
