"""A file that pickle or torch.save wrote, read as names, numbers, arrays and tensors: the one way into such files."""

import io
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.readers import numbers, tensors
from pertprobe.readers.archives import is_sequence, read_sequence, read_zip
from pertprobe.readers.budget import GROWTH, WHOLE_BYTES, Damaged, Refused, StandIn, in_words, refuse_pointer
from pertprobe.readers.pickles import read_pickle, refuse_as_key

ZIP = b"PK\x03\x04"
"""How a zip begins, as torch tells one."""
NESTED = "torch.storage._load_from_bytes"
ERRORS = (Refused, Damaged, OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)
"""What a damaged file raises: zipfile has no error of its own for all of it."""


def read_saved(path: str | Path, name: str | None = None) -> Any:
    """Return what a file holds that pickle, or torch.save of any version, wrote.

    Only plain values are built: numbers, texts, bytes, truth values, None, lists, tuples, sets, dictionaries, arrays of
    numpy and tensors of torch (on the CPU) whose types are in closed tables. Nothing that the file names is called.

    Args:
        path: the file.
        name: what messages call it; by default its name.

    Raises:
        PertprobeError: the file is damaged, asks for anything else (which is named), or would cost more than it may.
    """
    path = Path(path)
    name = name or path.name
    try:
        refuse_pointer(path, name)
        with open(path, "rb") as file:
            value = _read(file, path.stat().st_size, TABLE)
            _check_views(value, path.stat().st_size)
    except PertprobeError:
        raise
    except ERRORS as error:
        raise in_words(name, error) from error
    return value


def _read(file: BinaryIO, size: int, table: dict[str, Any]) -> Any:
    """Return the value of a file of one of the three forms; raises `Refused`, `Damaged` or what zipfile does."""
    start = file.read(len(ZIP))
    if start == ZIP:
        value = read_zip(file, size, table)
    else:
        if size > WHOLE_BYTES:
            raise Refused(f"is a pickle of {size:,} bytes")
        data = start + file.read()
        value = read_sequence(data, table) if is_sequence(data) else read_pickle(data, table)[0]
    if isinstance(value, StandIn) and table is TABLE:
        raise Refused("holds a name of code where a value is expected")
    return value


def _check_views(value: Any, size: int) -> None:
    """Raise `Refused` where tensors together are far larger than their file: each alone fits its storage."""
    seen, bytes_, stack = set(), 0, [value]
    while stack:
        each = stack.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Tensor):
            bytes_ += each.numel() * each.itemsize
        elif isinstance(each, dict):
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)
    if bytes_ > GROWTH * size:
        raise Refused(f"holds tensors of {bytes_:,} bytes in {size:,}, since they show the same numbers again")


def _nested(data: Any) -> tensors.Storage:
    """Return the storage that a pickle holds as a file of torch.save in the file."""
    if not isinstance(data, bytes):
        raise Damaged("a nested storage that is not bytes")
    without = {key: value for key, value in TABLE.items() if key != NESTED}
    try:
        found = _read(io.BytesIO(data), len(data), without)
    except Refused:
        raise
    except ERRORS as error:
        raise Damaged(f"a nested tensor cannot be read: {(str(error) or repr(error)).splitlines()[0]}") from error
    if not isinstance(found, tensors.Storage):
        raise Damaged("a nested storage that is none")
    return found


def _ordered(pairs: Any = ()) -> OrderedDict:
    """Return an empty ordered dictionary, as pickles build it; what is in it comes after."""
    if pairs:
        raise Refused("calls OrderedDict with a content")
    return OrderedDict()


def _set_of(values: Any = ()) -> set:
    if not isinstance(values, list | tuple):
        raise Damaged("a set without a list of its members")
    for each in values:
        refuse_as_key(each)
    return set(values)


def _bytes_of(text: Any = "", encoding: Any = "latin1") -> bytes:
    """Return bytes that an old pickle wrote as a text of the same letters."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("encodes a text otherwise than old pickles do")
    return text.encode("latin-1")


def _size_of(sizes: Any = ()) -> tuple[int, ...]:
    if not isinstance(sizes, tuple) or not all(type(each) is int for each in sizes):
        raise Damaged("sizes that are no whole numbers")
    return sizes


TABLE: dict[str, Any] = {
    "collections.OrderedDict": _ordered,
    "builtins.set": _set_of,
    "builtins.frozenset": lambda values=(): frozenset(_set_of(values)),
    "builtins.bytearray": _bytes_of,
    "builtins.bytes": _bytes_of,
    "_codecs.encode": _bytes_of,
    "numpy.dtype": numbers.TypeOfNumbers,
    "numpy.ndarray": numbers.Array,
    "numpy._core.multiarray.scalar": numbers.scalar,
    "numpy._core.multiarray._reconstruct": numbers.Array,
    "numpy._core.numeric._frombuffer": numbers.array_of,
    "torch._utils._rebuild_tensor": tensors.rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": tensors.rebuild_tensor,
    "torch._utils._rebuild_parameter": tensors.rebuild_parameter,
    "torch.Size": _size_of,
    NESTED: _nested,
    **tensors.STORAGES,
    **tensors.DTYPES,
}
"""All that a pickle may name -> what is done in its place. Names of numpy 1.x and of Python 2 are brought to these."""
