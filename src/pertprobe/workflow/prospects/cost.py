"""What a run costs: as expected of this machine before anything ran, corrected by a pilot, and as an earlier run took.

Hours are CPU hours, of all jobs together. What is expected is a range: no count of passes knows how well they share
batches, and no second of timing how busy a machine will be.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from pertprobe.files import read_table
from pertprobe.probes.declaration import declared
from pertprobe.workflow.prospects.expected import Expecting, Line, lines
from pertprobe.workflow.prospects.pilot import asked_by_pilot, pilot_folder, read_pilot
from pertprobe.workflow.prospects.piloted import Took, corrected, measured_by_key, took
from pertprobe.workflow.prospects.sizes import measured, programs_of, sized_models
from pertprobe.workflow.prospects.speed import Pace, machine, pace

if TYPE_CHECKING:
    from pertprobe.workflow.checks import Inputs
    from pertprobe.workflow.parts_of_config import Config
    from pertprobe.workflow.prospects.askable import Known

FACTOR, FACTOR_OF_PILOT = 2.0, 1.5
"""How far what is expected may be off, either way; where a pilot corrects it."""


class Expected(NamedTuple):
    """What a run is expected to take."""

    jobs: int
    hours: float
    hours_low: float
    hours_high: float
    """CPU hours, and the range in which they should be."""
    gb_low: float
    gb_high: float
    """Memory of the largest job: without batches of derivatives, and with as much as memory_gb allows."""
    disk_gb: float
    """What its measurements take."""
    parts: tuple[tuple[str, float], ...]
    """(what, CPU hours) of each probe and of the jobs of the whole run, the largest first."""
    untimed: tuple[str, ...] = ()
    """Models that could not be timed, and are left out."""
    pilot: str = ""
    """The pilot whose times correct it; empty: none."""
    took: tuple[Took, ...] = ()
    """What each measurement, and the probes that test it, took in the pilot."""


class Earlier(NamedTuple):
    """An earlier run of this name, as its config was."""

    path: str
    hours: float
    """Seconds of all its jobs together, in hours."""
    jobs: int
    peak_gb: float
    """Of its largest job."""
    disk_gb: float
    """What its results take now."""


class Cost(NamedTuple):
    """What is known; None is not known."""

    measuring: int
    """Jobs that measure: of every measurement, model and shard; fewer where results of an earlier run stand."""
    measurements: int
    models: int
    shards: int
    memory_gb: float
    """Working memory of derivatives in each of them, beside their result."""
    expected: Expected | None = None
    earlier: Earlier | None = None


def cost(config: "Config", inputs: "Inputs", found: "Known | None", table: pd.DataFrame) -> Cost:
    """Return the cost of a run whose results go to `results/<run>` below the folder that one is in.

    Args:
        config: settled.
        inputs: its files; models are timed, some seconds in all.
        found: what is known of its models; None where it makes its cells itself.
        table: what can be asked of each program.
    """
    counts = len(list(measured(config))), len(config["models"]), config["shards"]
    counted = Cost(counts[0] * counts[1] * counts[2], *counts, config["memory_gb"])
    return counted._replace(expected=expected(config, inputs, found, table), earlier=earlier(config["run"]))


def earlier(run: str) -> Earlier | None:
    """Return what an earlier run of this name took; None where there is none."""
    folder = Path("results") / run
    if not (times := folder / "run_times.tsv").is_file():
        return None
    table = read_table(times, ["rule", "job"])
    hours, peak = float(table.seconds.sum()) / 3600, float(table.max_rss_mb.max()) / 1000
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
    return Earlier(str(times), hours, len(table), peak, size)


def expected(config: "Config", inputs: "Inputs", found: "Known | None", table: pd.DataFrame) -> Expected | None:
    """Return what a run is expected to take; None where none of its models can be timed."""
    run, untimed = expecting(config, inputs, found, table)
    if not run.models:
        return None
    pilot, folder = read_pilot(config, found, table), pilot_folder(config["run"])
    if not pilot:
        return _summed(lines(run), config["memory_gb"], FACTOR)._replace(untimed=tuple(untimed))
    small, _ = expecting(pilot, inputs, *asked_by_pilot(config, pilot, found, table))
    few, times = lines(small), measured_by_key(folder / "logs")
    told = _summed(corrected(lines(run), few, times), config["memory_gb"], FACTOR_OF_PILOT)
    return told._replace(untimed=tuple(untimed), pilot=str(folder), took=took(small, few, times))


def expecting(
    config: "Config", inputs: "Inputs", found: "Known | None", table: pd.DataFrame
) -> tuple[Expecting, list[str]]:
    """Return all that expected cost depends on, and the models that could not be timed."""
    models, untimed = sized_models(config, inputs, found)
    timed: dict[Any, Pace] = {}
    for each in models.values():
        if each.shape not in timed:
            timed[each.shape] = pace(each.model, each.sets, each.cells)
    paces = {name: timed[each.shape] for name, each in models.items()}
    return Expecting(config, models, programs_of(config, table), paces, machine()), untimed


def _summed(whole: list[Line], memory_gb: float, factor: float) -> Expected:
    """Put all kinds of jobs together; `factor`: how far the sum may be off."""
    hours = sum(line.seconds for line in whole) / 3600
    low = max(line.gb for line in whole)
    derived = any(line.probe and "gradient" in declared(line.probe).needs for line in whole)
    return Expected(
        jobs=sum(line.jobs for line in whole),
        hours=hours,
        hours_low=hours / factor,
        hours_high=hours * factor,
        gb_low=low,
        gb_high=low + (memory_gb if derived else 0),
        disk_gb=sum(line.disk_gb for line in whole),
        parts=tuple(by_part(whole).items()),
    )


def by_part(whole: list[Line]) -> Mapping[str, float]:
    """Return what -> CPU hours: of each probe, and of each kind of job of the whole run; the largest first."""
    found: dict[str, float] = {}
    for line in whole:
        part = line.probe or line.key
        found[part] = found.get(part, 0) + line.seconds / 3600
    return dict(sorted(found.items(), key=lambda each: -each[1]))
