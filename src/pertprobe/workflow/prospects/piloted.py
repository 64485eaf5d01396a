"""What was expected of a run, corrected by what its pilot took."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pertprobe.workflow.prospects.expected import Expecting, Line
from pertprobe.workflow.prospects.sizes import measured as measurements
from pertprobe.workflow.usage import usages

OF_A_PROBE = ("measure", "gather", "measure_derived", "test", "compare", "gather_evidence", "draw")
"""Rules whose jobs belong to a probe, the first part of their names."""


UNSURE = 0.5
"""How much starts differ, over what they take: work below that says little of how long it takes."""


class Measured(NamedTuple):
    """Jobs of one kind, as their logs say."""

    jobs: int
    seconds: float
    """CPU seconds of all."""
    peak_gb: float


def measured_by_key(logs: str | Path) -> dict[str, Measured]:
    """Return key of `expected.Line` -> what its jobs took, as the logs below a folder say."""
    found: dict[str, Measured] = {}
    for took in usages(logs):
        key = f"{took.rule}/{took.job.partition('/')[0]}" if took.rule in OF_A_PROBE else took.rule
        so_far = found.get(key, Measured(0, 0.0, 0.0))
        peak = max(so_far.peak_gb, took.max_rss_mb / 1000)
        found[key] = Measured(so_far.jobs + 1, so_far.seconds + took.cpu_seconds, peak)
    return found


class Took(NamedTuple):
    """What the jobs of one probe took in a pilot."""

    probe: str
    seconds: float
    """CPU seconds of all."""
    per_unit: float
    """CPU seconds that measuring one unit of one model took, with its untrained copies, beside the start of the job."""
    unit: str


def took(run: Expecting, expected: Sequence[Line], measured: Mapping[str, Measured]) -> tuple[Took, ...]:
    """Return what each measurement of a pilot took, and the probes that test it; those that took most first."""
    seconds = _by_probe(measured)
    factor = start_factor(expected, measured)
    starts = {line.key: factor * line.start / line.jobs for line in expected if line.jobs}
    found = []
    for probe, probes in measurements(run.config):
        if (key := f"measure/{probe}") in measured and run.models:
            met = [run.sized(each, probe, probes) for each in run.models.values()]
            of_genes = "genes" in met[0].settings
            units = sum(each.silenced if of_genes else each.perturbations for each in met)
            work = measured[key].seconds - measured[key].jobs * starts.get(key, 0.0)
            whole = sum(seconds.get(each, 0.0) for each in sorted({probe, *probes}))
            found.append(Took(probe, whole, max(work, 0.0) / units, "gene" if of_genes else "perturbation"))
    return tuple(sorted(found, key=lambda each: -each.seconds))


def _by_probe(measured: Mapping[str, Measured]) -> dict[str, float]:
    """Return probe -> CPU seconds of all its jobs."""
    found: dict[str, float] = {}
    for key, each in measured.items():
        probe = key.partition("/")[2]
        found[probe] = found.get(probe, 0.0) + each.seconds
    return found


def start_factor(pilot: Sequence[Line], measured: Mapping[str, Measured]) -> float:
    """Return what a start took over what was expected of it: by the measurement whose jobs took least beside it."""
    found = [
        measured[line.key].seconds / measured[line.key].jobs * line.jobs / line.start
        for line in pilot
        if line.key.startswith("measure/") and line.key in measured and line.start
    ]
    return min([1.0, *found])


def corrected(whole: Sequence[Line], pilot: Sequence[Line], measured: Mapping[str, Measured]) -> list[Line]:
    """Return the lines of a run corrected by its pilot: by how much its jobs took more, or less, than was expected.

    What a job takes by itself and what its work takes are held apart: only the second grows with the run.
    """
    small, factor = {line.key: line for line in pilot}, start_factor(pilot, measured)
    return [_corrected(line, small.get(line.key), measured.get(line.key), factor) for line in whole]


def _corrected(line: Line, small: Line | None, took: Measured | None, factor: float) -> Line:
    if small is None or took is None or not small.jobs or not small.seconds:
        return line._replace(start=line.start * factor)
    seconds = took.seconds * small.jobs / took.jobs
    start = min(seconds, small.start * factor) if small.work else seconds
    unsure = UNSURE * small.start
    return line._replace(
        start=line.start * start / small.start if small.start else 0.0,
        work=line.work * (seconds - start + unsure) / (small.work + unsure),
    )
