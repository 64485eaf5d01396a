"""What a file that nobody here has seen may cost: bytes, items, depth and seconds; and in which words it is refused."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pertprobe.errors import PertprobeError

ITEMS = 5_000_000
"""Steps of one pickle, or nodes of one YAML with its aliases written out."""
DEPTH = 64
"""Containers inside one another."""
SECONDS = 120.0
"""Time one pickle may take; the largest known maps take two seconds."""
WHOLE_BYTES = 2 * 2**30
"""Size of a plain pickle, which must be read at once."""
SHOWN_BYTES = 16 * 2**20
"""Letters that a value may have written out, beyond four times those of its file."""
GROWTH = 20
"""How many times its size a file may unpack to; State's own files are not packed at all."""
FREE_BYTES = 16 * 2**20
"""What any file may unpack to, however small it is."""
POINTER = re.compile(rb"\Aversion https://git-lfs\.github\.com/spec/[^\n]*\noid [^\n]*\n(?:size (\d+))?")
"""What Git leaves of a large file that was not fetched."""
LONGEST_POINTER = 1024
"""Bytes that a pointer has at most, by its specification."""
CONTAINERS = (dict, list, tuple, set, frozenset, np.ndarray)


class Refused(Exception):
    """What is asked for is not given; the text says what it was, as the end of "refused, since it ..."."""


class Damaged(Exception):
    """What is written cannot be meant; the text says why, as it stands in brackets after "it is damaged"."""


class StandIn:
    """What stands in a pickle for something else, and is no value itself."""


class Clock:
    """Ends work that takes longer than it may."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """Start the time."""
        self._end = time.monotonic() + seconds
        self._seconds = seconds

    def check(self) -> None:
        """Raise `Refused` when the time is over."""
        if time.monotonic() > self._end:
            raise Refused(f"takes longer to read than {self._seconds:.0f} seconds")


def in_words(name: str, error: Exception) -> PertprobeError:
    """Return what is wrong with the file `name` and what to do, whatever was raised while it was read."""
    if isinstance(error, Refused):
        return PertprobeError(
            f"{name}: refused, since it {error}; a model directory holds names, numbers and tensors only. Do not "
            "trust the file; if it is your own, save it again without that"
        )
    if isinstance(error, FileNotFoundError):
        return PertprobeError(f"{name}: cannot be read (No such file or directory). Give the path of a file")
    reason = (str(error) or repr(error)).splitlines()[0][:200]
    return PertprobeError(f"{name}: cannot be read, it is damaged ({reason}). Copy or download it again")


def pointer_words(path: str | Path) -> str:
    """Say that a file is what Git leaves of a large one that was not fetched; empty where it is no such pointer."""
    try:
        # A file of no bytes may be one of the system's own, whose reading can wait for ever.
        if not os.path.isfile(path) or not 0 < os.path.getsize(path) <= LONGEST_POINTER:
            return ""
        with open(path, "rb") as file:
            found = POINTER.match(file.read(LONGEST_POINTER))
    except OSError:
        return ""
    size = f" of {int(found[1])} bytes" if found and found[1] else ""
    return f"is a Git LFS pointer{size}: fetch the file (git lfs pull)" if found else ""


def refuse_pointer(path: str | Path, name: str) -> None:
    """Raise `PertprobeError` where a file is no more than Git's note that the true one lies elsewhere."""
    if words := pointer_words(path):
        raise PertprobeError(f"{name}: {words}")


def check_growth(unpacked: int, packed: int) -> None:
    """Raise `Refused` where so many bytes would unpack to more than they may."""
    if unpacked > GROWTH * packed + FREE_BYTES:
        raise Refused(f"unpacks to {unpacked:,} bytes from {packed:,}, more than {GROWTH} times its size")


def check_whole(value: Any, size: int) -> None:
    """Raise `Refused` where a value is nested too deeply, holds itself, or is written out far larger than its file.

    Values may be shared: ten lists that each hold the former ten times are small in memory, but not for who shows them.
    """
    seen: dict[int, tuple[int, int]] = {}
    opened: set[int] = set()
    stack = [(value, False)]
    while stack:
        each, done = stack.pop()
        key = id(each)
        if key in seen or not isinstance(each, CONTAINERS):
            continue
        if done:
            opened.discard(key)
            seen[key] = _weighed(each, seen, size)
        elif key in opened:
            raise Refused("holds a value that holds itself")
        else:
            opened.add(key)
            stack.append((each, True))
            stack.extend((part, False) for part in _parts(each) if isinstance(part, CONTAINERS))


def _weighed(container: Any, seen: dict[int, tuple[int, int]], size: int) -> tuple[int, int]:
    """Return letters and depth of a container whose containers were weighed before."""
    letters, depth = 2, 0
    for part in _parts(container):
        if isinstance(part, CONTAINERS):
            letters, depth = letters + seen[id(part)][0], max(depth, seen[id(part)][1])
        elif isinstance(part, StandIn):
            raise Refused("holds a name of code where a value is expected")
        else:
            letters += len(part) + 2 if isinstance(part, str | bytes) else 2
    if letters > 4 * size + SHOWN_BYTES:
        raise Refused(f"holds values that multiply: written out they have more than {letters - 1:,} letters")
    if depth >= DEPTH:
        raise Refused(f"is nested more than {DEPTH} deep")
    return letters, depth + 1


def _parts(container: Any) -> Iterator[Any]:
    if isinstance(container, dict):
        yield from container.keys()
        yield from container.values()
    elif isinstance(container, np.ndarray):
        yield from container.ravel().tolist() if container.dtype == object else ()
    else:
        yield from container
