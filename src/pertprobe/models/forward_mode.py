"""Forward-mode derivatives: torch's own, spared the seconds that torch takes to load a compiler nobody asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_INSIDE: ContextVar[bool] = ContextVar("inside", default=False)


def jvp(function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the value of a function and its derivative along the tangents, as `torch.func.jvp` does."""
    _mark_as_not_compiled()
    outside = _INSIDE.set(True)
    try:
        with _plain_attention():
            return torch.func.jvp(function, primals, tangents)
    finally:
        _INSIDE.reset(outside)


def in_forward_mode() -> bool:
    """Return whether a function is being run by `jvp`: what knows its own derivative may then give it."""
    return _INSIDE.get()


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Let torch compute attention by plain products inside: its fused kernels have no forward mode."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@cache
def _mark_as_not_compiled() -> None:
    """Say of torch's Python references what torch would import its compiler to say: that they are not compiled.

    In forward mode the sum of something with a constant goes through such a reference. On its first call torch imports
    `torch._dynamo`, which takes longer than torch itself, only to mark the function; what carries the mark already is
    called as it is. Where a version of torch has another mark, this one does nothing.
    """
    waiting, seen = list(vars(torch._refs).values()), set()
    while waiting:
        reference = waiting.pop()
        if isinstance(reference, FunctionType) and reference not in seen:
            seen.add(reference)
            reference.__dict__.setdefault("__dynamo_disable", reference)
            waiting.extend(_wrapped(reference))


def _wrapped(function: FunctionType) -> Iterator[Any]:
    """Yield what a decorator wrapped: the names that a function holds on to."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not yet filled
            continue
