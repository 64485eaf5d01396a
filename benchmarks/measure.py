"""What every benchmark has in common: clocks, the machine's own rate of matrix products, and the rows of the table."""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")
THREADS = 2
COLUMNS = ("work", "against", "seconds", "ratio", "floor_ratio", "peak_mb", "value", "bound", "holds", "machine")
"""Columns of table.tsv."""
SIGNS = {"at least": ">=", "at most": "<="}


@dataclass(frozen=True)
class Row:
    """One work, beside what people do today or beside itself at another size."""

    work: str
    against: str = ""
    """What `ratio` compares it with."""
    seconds: float | None = None
    """Median of the repeats."""
    ratio: float | None = None
    """Seconds of `against` over `seconds`, both of one process."""
    floor_ratio: float | None = None
    """`seconds` over those of its matrix products alone at the rate measured before and after them."""
    peak_mb: float | None = None
    """Largest resident memory of the process until then, Python and torch (about 300 MB) included."""
    value: float | None = None
    """What the bound is about where it is none of these; `unit` says what it is."""
    unit: str = ""
    limits: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Column -> ("at least" or "at most", limit)."""
    note: str = ""
    """What was measured on a share and scaled, repeats, agreement."""

    @property
    def bound(self) -> str:
        """The limits in words."""
        return "; ".join(f"{self.unit if name == 'value' else name} {SIGNS[sense]} {limit:g}"
                         for name, (sense, limit) in self.limits.items())  # fmt: skip

    @property
    def holds(self) -> bool | None:
        """Whether every limit holds; None without one."""
        if not self.limits:
            return None
        found = {name: getattr(self, name) for name in self.limits}
        return all(found[name] >= limit if sense == "at least" else found[name] <= limit
                   for name, (sense, limit) in self.limits.items())  # fmt: skip

    def entry(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {**asdict(self), "bound": self.bound, "holds": self.holds}


def row_of(entry: Mapping[str, Any]) -> Row:
    """Return the row that `Row.entry` made plain values of."""
    known = {name: value for name, value in entry.items() if name in Row.__dataclass_fields__}
    limits = {name: (sense, limit) for name, (sense, limit) in known.pop("limits").items()}
    return Row(**known, limits=limits)


def seconds(function: Callable[[], Any], repeats: int = 1) -> float:
    """Return the median wall time of a function."""
    return statistics.median(once(function)[1] for _ in range(repeats))


def once(function: Callable[[], T]) -> tuple[T, float]:
    """Return what a function returns, and its wall time."""
    start = time.perf_counter()
    found = function()
    return found, time.perf_counter() - start


def gemm_rate(size: int = 2048, repeats: int = 7) -> float:
    """Return operations per second of float32 matrix products on the CPU, the median."""
    a = torch.randn(size, size)
    return 2.0 * size**3 / seconds(lambda: a @ a, repeats)


def against_floor(function: Callable[[], Any], operations: float, repeats: int = 3) -> tuple[float, float]:
    """Return the median seconds of a function, and over those that its operations take at the rate found around it."""
    before = gemm_rate()
    spent = seconds(function, repeats)
    rate = (before + gemm_rate()) / 2
    return spent, spent * rate / operations


def peak_mb() -> float:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def exponent(sizes: list[int], found: list[float]) -> float:
    """Return the slope of log(found) over log(size): 1 = linear, 0 = flat."""
    return float(np.polyfit(np.log(sizes), np.log(found), 1)[0])


def machine() -> str:
    """Return what numbers depend on, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    gpu = "a GPU that stood idle" if torch.cuda.is_available() else "no GPU"
    return (
        f"{THREADS} of {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}, {gpu}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )
