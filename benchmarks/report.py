"""Size and opening time of a report of the published size: 674 programs, 16 probes, 4 models, all made from a seed.

It is opened in a new Chromium each time. Parsed: the document is there. Ready: every table in sight can be sorted.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from chromium import chromium
from made_run import write_made_report
from made_shape import PUBLISHED
from pages import DESKTOP, PHONE, ready

from pertprobe.files import write_table

HERE = Path(__file__).resolve().parent
OPENED = 5
"""Times, of which the median counts."""
LIMITS = {"size, MB": 10.0, "parsed, seconds": 3.0, "ready, seconds": 3.0, "ready on a phone, seconds": 3.0}
"""Largest value each number may have."""


def opening(report: Path, width: int) -> tuple[float, float]:
    """Return the seconds until a report is parsed, and until it is ready."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        start = time.perf_counter()
        page.goto(report.as_uri(), wait_until="domcontentloaded")
        parsed = time.perf_counter() - start
        ready(page)
        return parsed, time.perf_counter() - start


def measured(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield what is measured, and the number."""
    report = write_made_report(folder, PUBLISHED)
    yield "size, MB", report.stat().st_size / 1e6
    parsed, made = zip(*(opening(report, DESKTOP) for _ in range(OPENED)), strict=True)
    yield "parsed, seconds", statistics.median(parsed)
    yield "ready, seconds", statistics.median(made)
    yield "ready on a phone, seconds", statistics.median(opening(report, PHONE)[1] for _ in range(OPENED))


def machine() -> str:
    """Return what the numbers depend on, in words."""
    with chromium() as browser:
        version = browser.version
    system, load = f"{platform.system()} {platform.machine()}", os.getloadavg()[0]
    return f"Chromium {version}, {os.cpu_count()} cores, {system}, load before {load:.1f}"


def table(found: pd.DataFrame, where: str) -> str:
    """Return the numbers beside their limits, as Markdown."""
    rows = [f"| {row.what} | {row.measured:.2f} | {row.limit:g} | {row.holds} |" for row in found.itertuples()]
    size = f"{PUBLISHED.programs} programs, {len(PUBLISHED.probes)} probes, {2 * len(PUBLISHED.contexts)} models"
    head = [
        "# A report of the published size, measured",
        "",
        "| what | measured | limit | holds |",
        "|---|---|---|---|",
    ]
    told = f"{size}; names as long as Reactome's; median of {OPENED} openings. Machine: {where}."
    last = "Made by `make benchmark-report` (benchmarks/report.py)."
    return "\n".join([*head, *rows, "", told, "", last]) + "\n"


def main() -> int:
    """Measure, write and print; 1 where a limit does not hold."""
    where = machine()
    with tempfile.TemporaryDirectory(prefix="pertprobe-benchmark-") as name:
        rows = [(what, value, LIMITS[what]) for what, value in measured(Path(name))]
    found = pd.DataFrame(rows, columns=["what", "measured", "limit"])
    found["holds"] = (found.measured <= found.limit).map({True: "yes", False: "no"})
    text = table(found, where)
    print(text)
    write_table(found, HERE / "report.tsv", digits=3)
    (HERE / "report.md").write_text(text)
    return 0 if (found.holds == "yes").all() else 1


if __name__ == "__main__":
    sys.exit(main())
