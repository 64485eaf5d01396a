"""What a job took, as the last line of its log says: read again for run_times.tsv and after a pilot.

Snakemake measures a job by the processes below it, and asks them now and then. This is what the system counted for the
process that did the work, wherever that was started (workflow/warm.py).
"""

import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LINE = re.compile(r"^Took ([\d.]+) s, ([\d.]+) s of CPU time, ([\d.]+) MB of memory at most\.$")
UNIT = 2**20 / (1 if sys.platform == "darwin" else 2**10)
"""Units of the system's peak memory in a MB."""


class Usage(NamedTuple):
    """What one job took."""

    rule: str
    job: str
    seconds: float
    cpu_seconds: float
    """Of all its processes."""
    max_rss_mb: float
    """Most memory at a time, libraries included."""


def used(since: float) -> str:
    """Return in words what this process took since that moment of `time.monotonic`, for `usages` to read."""
    own, below = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime
    peak = max(own.ru_maxrss, below.ru_maxrss) / UNIT
    return f"Took {time.monotonic() - since:.2f} s, {cpu:.2f} s of CPU time, {peak:.1f} MB of memory at most."


def usages(folder: str | Path) -> Iterator[Usage]:
    """Yield what each job took whose log lies below `folder`, as <rule>/<job>.log, and says that it was finished."""
    for path in sorted(Path(folder).rglob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if lines and (found := LINE.match(lines[-1])):
            rule, *job = path.relative_to(folder).with_suffix("").parts
            yield Usage(rule, "/".join(job), *map(float, found.groups()))
