"""What a run costs: jobs that measure, counted; hours, memory and disk only from an earlier run on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pertprobe.files import read_table
from pertprobe.probes.declaration import SPACE_OF_RESPONSES, all_declared

if TYPE_CHECKING:
    from pertprobe.workflow.checks import Config


class Cost(NamedTuple):
    """What is known; None is not known."""

    measuring: int
    """Jobs that measure: of every measurement, model and shard; fewer where results of an earlier run stand."""
    measurements: int
    models: int
    shards: int
    memory_gb: float
    """Working memory of derivatives in each of them, beside their result."""
    earlier: str = ""
    """Where an earlier run of this name was measured; empty: nowhere."""
    hours: float | None = None
    """Seconds of all its jobs together, in hours."""
    jobs: int | None = None
    peak_gb: float | None = None
    """Of its largest job."""
    disk_gb: float | None = None
    """What its results take now."""


def cost(config: "Config") -> Cost:
    """Return the cost of a run whose results go to `results/<run>` below the folder that one is in."""
    measured = {SPACE_OF_RESPONSES, *(probe.measurement for probe in all_declared(config["probes"]).values())}
    counts = len(measured), len(config["models"]), config["shards"]
    counted = Cost(counts[0] * counts[1] * counts[2], *counts, config["memory_gb"])
    folder = Path("results") / config["run"]
    times = folder / "run_times.tsv"
    return _with_earlier(counted, folder, times) if times.is_file() else counted


def _with_earlier(counted: Cost, folder: Path, times: Path) -> Cost:
    table = read_table(times, ["rule", "job"])
    hours, peak = float(table.seconds.sum()) / 3600, float(table.max_rss_mb.max()) / 1000
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
    return counted._replace(earlier=str(times), hours=hours, jobs=len(table), peak_gb=peak, disk_gb=size)
