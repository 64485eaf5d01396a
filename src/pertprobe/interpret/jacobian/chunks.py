"""How much is computed at once: from a memory budget and the sizes of the model, never from what else is asked for."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from pertprobe.batching import batch_block, counted, power_of_2
from pertprobe.interpret.jacobian.linear_ends import FactorisedModel, hidden

GPU_BATCH = 4096
"""Most perturbations in one batch on a GPU, which only large ones keep busy."""
LIVE = 8
"""Tensors of the largest size that are alive at once while one direction is pushed or pulled through a block."""
CACHED = 48e6
"""Bytes of the largest tensor of one pass, above which a CPU gains no more; below, weights are read for few rows."""


class Chunks(NamedTuple):
    """Sizes of what is computed at once."""

    perturbations: int
    directions: int


class _Made(TorchFunctionMode):
    """Adds up the tensors that operations make, views of others apart."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [0]

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        given = {_storage(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        made = func(*args, **(kwargs or {}))
        new = [each for each in tree_leaves(made) if isinstance(each, Tensor) and _storage(each) not in given]
        self.sizes += [each.untyped_storage().nbytes() for each in new]
        return made


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def footprint(at: FactorisedModel, code: Tensor) -> tuple[int, int]:
    """Return the bytes of the largest tensor that one forward pass under a code [H] makes, and of all that it makes.

    A reverse pass keeps them all. One perturbation over all sets of a point; it is the same for every code.
    """
    with torch.no_grad(), _Made() as made:
        at.ends.decode_linear(hidden(at, code[None]), None)
    return max(made.sizes), sum(made.sizes)


def chunks(
    at: FactorisedModel, code: Tensor, wanted: int, memory_gb: float, *, reverse: bool, result: int = 0
) -> Chunks:
    """Return how many perturbations and how many of `wanted` directions go at once; at least one of each.

    They depend on sizes, budget and device alone. `reverse`: what a reverse pass keeps counts for each perturbation;
    `result`: numbers that are returned for each.
    """
    (largest, everything), budget = footprint(at, code), memory_gb * 1e9
    kept = (everything if reverse else 0) + result * code.element_size()
    fast = int(CACHED // largest) if code.device.type == "cpu" else wanted * batch_limit(code)
    together = max(1, min(wanted, fast, int((budget - kept) // (LIVE * largest))))
    held = int(budget // (kept + together * LIVE * largest))
    # A batch of a power of 2 lies within one block.
    return Chunks(power_of_2(min(batch_limit(code), fast // together, held)), together)


def batch_limit(like: Tensor) -> int:
    """Return the most perturbations in one batch on a tensor's device: on a CPU those that any job has together."""
    return GPU_BATCH if like.is_cuda else batch_block()


def next_power_of_2(n: int) -> int:
    """Return the smallest power of 2 that is at least n, at least 1."""
    return 1 << (max(n, 1) - 1).bit_length()


def in_batches(codes: Tensor, size: int, work: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return what `work` makes of codes [P, ...], joined along its first axis; it is given `size` of them at once.

    The last bit of a matrix product depends on the rows that share it and on their places. A shard's perturbations are
    whole blocks of the sorted names (`batching.py`), and a batch lies within one block: who shares it is the same for
    any number of shards, and so are tables. A batch that is not full, the last of all, is padded with its last code to
    the next power of 2. On a GPU nothing is padded, and numbers agree to rounding.
    """
    return each_batch(codes.split(size), size, work, f"Jacobians, batches of {size} perturbations")


def each_batch(
    batches: Sequence[Tensor], size: int, work: Callable[[Tensor], tuple[Tensor, ...]], what: str
) -> tuple[Tensor, ...]:
    """Return what `work` makes of batches of at most `size`, joined: `in_batches` of what is cut already.

    At least one is asked for. `what` they are is logged with how many are done.
    """
    found = []
    for batch in counted(batches, what):
        full = len(batch) if batch.is_cuda else min(size, next_power_of_2(len(batch)))
        padded = torch.cat([batch, batch[-1:].expand(full - len(batch), *batch.shape[1:])])
        found.append(tuple(each[: len(batch)] for each in work(padded)))
    return tuple(torch.cat(each) for each in zip(*found, strict=True))
