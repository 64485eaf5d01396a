"""Files of safetensors, and what numbers must be to be weights: of a floating type, and finite."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.readers.budget import refuse_pointer

LONGEST_HEADER = 10**8
"""Bytes of a header, as safetensors has it."""
FLOATING = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def weight_faults(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return, by name, the tensors that are no weights: whole, complex or truth values, or not finite."""
    faults = []
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATING:
            kind = str(tensor.dtype).removeprefix("torch.")
            faults.append(f"'{name}' is of the type {kind}, weights are floating numbers: give those that were trained")
        elif not torch.isfinite(tensor).all():
            faults.append(f"'{name}' has values that are not finite")
    return faults


UNREADABLE = (OSError, SafetensorError, ValueError, KeyError, RuntimeError, MemoryError)
"""What is raised for files that are damaged, of an unknown type (KeyError), or of holes without end (MemoryError)."""


def read_safetensors(path: Path, name: str) -> dict[str, Tensor]:
    """Return the tensors of a file; safetensors itself refuses offsets that overlap, leave gaps or lie outside.

    Raises:
        PertprobeError: the file cannot be read; it is called `name`.
    """
    try:
        refuse_pointer(path, name)
        _check_header(path)
        return load_file(path)
    except UNREADABLE as error:
        raise PertprobeError(f"{name} cannot be read ({error}). Copy or download it again.") from None


def _check_header(path: Path) -> None:
    """Raise ValueError for a file that does not begin as one of safetensors: before any of it is mapped into memory."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begins = file.read(1)
    if begins != b"{" or not 2 <= length <= min(LONGEST_HEADER, path.stat().st_size - 8):
        raise ValueError("it does not begin with a header of safetensors")
