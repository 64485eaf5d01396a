"""Tensors of torch out of a file: storages from a closed table of types, views that lie inside them and on no other."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pertprobe.readers.budget import Damaged, Refused, StandIn

STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
        "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
        "Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
    }.items()
}  # fmt: skip
"""Name in a pickle -> type of its numbers."""
DTYPES = {str(dtype): dtype for dtype in STORAGES.values()}
MOST_AXES = 8


class Storage(StandIn):
    """Numbers in a row, which tensors are views of."""

    def __init__(self, flat: Tensor) -> None:
        """Keep the numbers, one after the other."""
        self.flat = flat


class StorageOf(NamedTuple):
    """What a pickle says of a storage that lies outside of it."""

    dtype: torch.dtype
    key: str
    count: int


def storage_asked(asked: Any) -> StorageOf:
    """Read the tuple by which a pickle names a storage; raises `Damaged`."""
    shape = isinstance(asked, tuple) and len(asked) in (5, 6) and asked[0] == "storage"
    if not shape or not isinstance(asked[1], torch.dtype) or not isinstance(asked[2], str):
        raise Damaged("a storage of tensors is not named as torch does")
    if type(asked[4]) is not int or asked[4] < 0 or asked[5:] not in ((), (None,)):
        raise Damaged(f"a storage of {str(asked[4])[:40]} numbers")
    return StorageOf(asked[1], asked[2], asked[4])


def storage_of(content: bytearray, asked: StorageOf) -> Storage:
    """Return a storage whose bytes are as many as the pickle says; raises `Damaged`."""
    if len(content) != asked.count * asked.dtype.itemsize:
        raise Damaged(f"storage {asked.key} has {len(content)} bytes for {asked.count} numbers of {asked.dtype}")
    flat = torch.frombuffer(content, dtype=asked.dtype) if content else torch.empty(0, dtype=asked.dtype)
    if asked.dtype == torch.bool and content and int(flat.view(torch.uint8).max()) > 1:
        raise Damaged(f"storage {asked.key} has truth values that are neither true nor false")
    return Storage(flat)


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> Tensor:
    """Return a view of a storage; raises `Damaged` unless each of its numbers is one of the storage, and its own."""
    whole = [offset, *size, *stride] if isinstance(size, tuple) and isinstance(stride, tuple) else [None]
    if not isinstance(storage, Storage) or not all(type(each) is int and each >= 0 for each in whole):
        raise Damaged("a tensor without storage, sizes and strides")
    if len(size) != len(stride) or len(size) > MOST_AXES:
        raise Damaged(f"a tensor with {len(size)} sizes and {len(stride)} strides")
    if 0 in size:
        if offset > len(storage.flat) or max(size) > 2**48:
            raise Damaged(f"a tensor of the shape {size} lies outside its storage")
        return torch.empty(size, dtype=storage.flat.dtype)
    reach = 0
    for step, count in sorted((step, count) for step, count in zip(stride, size, strict=True) if count > 1):
        if step <= reach:
            raise Refused(f"holds a tensor of the shape {size} whose numbers share places (strides {stride})")
        reach += step * (count - 1)
    if offset + reach >= len(storage.flat):
        raise Damaged(f"a tensor of the shape {size} reaches beyond the {len(storage.flat)} numbers of its storage")
    return storage.flat.as_strided(size, stride, offset)


def rebuild_parameter(data: Any, *_: object) -> Tensor:
    """Return the tensor of a parameter."""
    if not isinstance(data, Tensor):
        raise Damaged("a parameter without a tensor")
    return data
