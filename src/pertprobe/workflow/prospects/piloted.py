"""What was expected of a run, corrected by what its pilot took."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pertprobe.workflow.prospects.expected import Line

OF_A_PROBE = ("measure", "gather", "measure_derived", "test", "compare", "gather_evidence", "draw")
"""Rules whose jobs belong to a probe, the first part of their names."""


class Measured(NamedTuple):
    """Jobs of one kind, as Snakemake measured them."""

    jobs: int
    seconds: float
    """CPU seconds of all; seconds on the clock where the others were not measured."""
    peak_gb: float


def measured_by_key(folder: str | Path, column: str = "cpu_time") -> dict[str, Measured]:
    """Return key of `expected.Line` -> what its jobs took, from a column of the benchmarks below a folder."""
    found: dict[str, Measured] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        rule, *job = path.relative_to(folder).with_suffix("").parts
        key = f"{rule}/{job[0]}" if rule in OF_A_PROBE else rule
        took, so_far = pd.read_csv(path, sep="\t").iloc[-1], found.get(key, Measured(0, 0.0, 0.0))
        numbers = pd.to_numeric(took, errors="coerce")
        seconds = numbers[column] if numbers.get(column, 0) > 0 else numbers["s"]
        peak = max(so_far.peak_gb, numbers.get("max_rss", 0.0) / 1000)
        found[key] = Measured(so_far.jobs + 1, so_far.seconds + float(seconds), float(peak))
    return found


def corrected(whole: Sequence[Line], pilot: Sequence[Line], measured: Mapping[str, Measured]) -> list[Line]:
    """Return the lines of a run corrected by its pilot: by how much its jobs took more, or less, than was expected.

    What a job takes by itself and what its work takes are held apart: only the second grows with the run.
    """
    small = {line.key: line for line in pilot}
    return [_corrected(line, small.get(line.key), measured.get(line.key)) for line in whole]


def _corrected(line: Line, small: Line | None, took: Measured | None) -> Line:
    if small is None or took is None or not small.jobs or not small.seconds:
        return line
    seconds = took.seconds * small.jobs / took.jobs
    start = min(seconds, small.start)
    factor = (seconds - start) / small.work if small.work else 0.0
    known = line.work * factor if small.work and seconds > start else line.work * seconds / small.seconds
    return line._replace(start=line.start * start / small.start if small.start else 0.0, work=known)
