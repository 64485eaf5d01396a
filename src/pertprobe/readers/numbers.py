"""Arrays and numbers of numpy out of a pickle: their types from a closed table, their bytes counted before use."""

import math
import re
from typing import Any

import numpy as np

from pertprobe.readers.budget import Damaged, Refused, StandIn

TYPES = re.compile(r"[<>=|]?(b1|i[1248]|u[1248]|f[248]|c8|c16|[US]\d{1,6}|O8?)")
MOST_AXES = 8
LARGEST_CODE, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)
PLAIN = (str, bytes, int, float, type(None), np.generic)


class TypeOfNumbers(StandIn):
    """A numpy dtype as a pickle builds it: first its code, then the order of its bytes."""

    def __init__(self, code: str, *_: object) -> None:
        """Take one of the codes of the table; raises `Refused` for any other."""
        if not isinstance(code, str) or not TYPES.fullmatch(code):
            raise Refused(f"asks for the numpy type {str(code)[:40]!r}")
        self.dtype = np.dtype(code.replace("O8", "O"))

    def build(self, state: Any) -> None:
        """Take the order of bytes from a dtype's state; numpy itself would take widths and fields from it unseen."""
        if not isinstance(state, tuple) or len(state) not in (8, 9) or any(part is not None for part in state[2:5]):
            raise Refused("asks for a numpy type with fields of its own")
        if state[1] not in ("<", ">", "|", "=") or state[5] not in (-1, self.dtype.itemsize):
            raise Damaged("a numpy type contradicts itself")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class Array(StandIn):
    """A numpy array as a pickle builds it: first nothing, then shape, type and bytes."""

    def __init__(self, *_: object) -> None:
        """Wait for the content; what numpy is told before it is replaced by it."""
        self.value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Take version, shape, type, order and content."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise Damaged("an array without shape, type and content")
        _, shape, kind, fortran, content = state
        self.value = array_of(content, kind, shape, "F" if fortran else "C")


def array_of(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """Return an array of its content, whose length must be what type and shape say."""
    if not isinstance(kind, TypeOfNumbers) or order not in ("C", "F"):
        raise Damaged("an array without a type")
    count = _count(shape)
    if kind.dtype == object:
        return _of_objects(content, count, shape, order)
    flat = _flat(content, kind.dtype, count)
    return flat.reshape(shape, order=order)


def scalar(kind: Any, content: Any = b"") -> Any:
    """Return one number or name of numpy."""
    if not isinstance(kind, TypeOfNumbers):
        raise Damaged("a number without a type")
    if kind.dtype == object:
        raise Refused("asks for a number of numpy that is any object")
    return _flat(content, kind.dtype, 1)[0]


def _count(shape: Any) -> int:
    whole = isinstance(shape, tuple) and all(type(size) is int and 0 <= size < 2**48 for size in shape)
    if not whole or len(shape) > MOST_AXES:
        raise Damaged(f"an array of the shape {str(shape)[:60]}")
    return math.prod(shape)


def _flat(content: Any, dtype: np.dtype, count: int) -> np.ndarray:
    """Return so many numbers in this machine's order of bytes; texts and truth values are checked."""
    content = content.encode("latin-1") if isinstance(content, str) else content
    if not isinstance(content, bytes | bytearray) or len(content) != count * dtype.itemsize:
        size = len(content) if isinstance(content, bytes | bytearray) else 0
        raise Damaged(f"{size} bytes for {count} numbers of the type {dtype}")
    if not count or not dtype.itemsize:
        return np.zeros(count, dtype)
    found = np.frombuffer(bytes(content), dtype).astype(dtype.newbyteorder("="))
    if dtype.kind == "U":
        codes = found.view(np.uint32)
        low, high = SURROGATES
        if (codes > LARGEST_CODE).any() or ((codes >= low) & (codes <= high)).any():
            raise Damaged("a text with letters that do not exist")
    if dtype.kind == "b" and (found.view(np.uint8) > 1).any():
        raise Damaged("truth values that are neither true nor false")
    return found


def _of_objects(content: Any, count: int, shape: tuple[int, ...], order: str) -> np.ndarray:
    if not isinstance(content, list) or len(content) != count:
        raise Damaged("an array of objects without its objects")
    if other := next((type(each).__name__ for each in content if not isinstance(each, PLAIN)), None):
        raise Refused(f"asks for an array of objects of the type {other}")
    found = np.empty(count, object)
    found[:] = content
    return found.reshape(shape, order=order)
