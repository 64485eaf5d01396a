"""Time and peak memory of the demo from scratch, of a rerun after one changed threshold, and of a dry run.

Everything runs in a temporary folder that is removed afterwards: results/ and .snakemake/ of the project stay as they
are. `--quick` runs a demo of toy size to try this script; it prints the table and writes no file.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from pertprobe.files import sha256

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CORES = 2
GB = 10**9
SAMPLE_SECONDS = 0.2
DRY_RUNS = 3
LIMITS = {"demo_seconds": 480, "demo_peak_gb": 3, "rerun_seconds": 15, "dry_run_seconds": 3}
"""Largest value each number may have; the same machine, 2 cores, after installation."""
WORDS = {
    "demo_seconds": "demo from scratch, seconds",
    "demo_peak_gb": "peak memory of the demo, GB (sum of resident memory over all processes)",
    "rerun_seconds": "rerun after one changed threshold, seconds",
    "dry_run_seconds": f"dry run from scratch, seconds (median of {DRY_RUNS})",
}
THRESHOLD = {"thresholds": {"pert_embedding": [["q", "<", 0.01]]}}
"""What the rerun changes."""
QUICK = {
    "simulate": {"genes": 120, "perturbations": 30, "programs": 4, "cells_per_perturbation": 20, "control_cells": 160},
    "models": {name: {"train": {"steps": 20}} for name in ("a_fewshot", "b_fewshot", "a_zeroshot")},
    "sae": {"joint": {"steps": 20}},
    "statistics": {"permutations": 99, "bootstrap": 99},
}
"""The demo in toy size."""


class Run(NamedTuple):
    """One call of Snakemake."""

    seconds: float
    """Wall time."""
    peak_gb: float
    """Largest sum of resident memory over the process and all its descendants; shared pages count once in each."""
    rules: tuple[str, ...]
    """Rules whose jobs ran, one entry a job; the target `all` is none."""


def snakemake(folder: Path, configs: Sequence[Path], *options: str) -> Run:
    """Run the workflow in `folder` with `configs`; ends this script with Snakemake's output where it fails."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(CORES), *options, "--configfile", *map(str, configs)]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        peak = Peak(process.pid)
        try:
            output, _ = process.communicate()
        finally:
            process.terminate()
            peak.stop()
    if process.returncode:
        sys.exit(f"snakemake failed:\n{output[-4000:]}")
    rules = tuple(name for name in re.findall(r"^(?:local)?rule (\w+):$", output, re.MULTILINE) if name != "all")
    return Run(time.monotonic() - started, peak.bytes / GB, rules)


class Peak(threading.Thread):
    """Samples the resident memory of a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        """Start at once."""
        super().__init__(daemon=True)
        self.process, self.bytes, self.stopped = psutil.Process(pid), 0, threading.Event()
        self.start()

    def run(self) -> None:
        """Keep the largest sum."""
        while not self.stopped.wait(SAMPLE_SECONDS):
            try:
                family = [self.process, *self.process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.bytes = max(self.bytes, sum(map(resident, family)))

    def stop(self) -> None:
        """Sample no more."""
        self.stopped.set()
        self.join()


def resident(process: psutil.Process) -> int:
    """Return the resident memory of a process in bytes, 0 where it has just ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def measure(quick: bool) -> dict[str, object]:
    """Return the four numbers and which rules the changed threshold ran again."""
    with tempfile.TemporaryDirectory(prefix="pertprobe-benchmark-") as name:
        folder = Path(name)
        size, changed = folder / "size.yaml", folder / "threshold.yaml"
        size.write_text(yaml.safe_dump(QUICK if quick else {}))
        changed.write_text(yaml.safe_dump(THRESHOLD))
        configs = [ROOT / "config" / "config.yaml", *([size] if quick else [])]
        dry = [snakemake(folder, configs, "--dry-run").seconds for _ in range(DRY_RUNS)]
        demo = snakemake(folder, configs)
        said = answers(folder / "results")
        rerun = snakemake(folder, [*configs, changed])
    return {
        "demo_seconds": round(demo.seconds, 1),
        "demo_peak_gb": round(demo.peak_gb, 2),
        "rerun_seconds": round(rerun.seconds, 1),
        "dry_run_seconds": round(statistics.median(dry), 2),
        "demo_jobs": len(demo.rules),
        "rerun_rules": list(rerun.rules),
        "answers": said,
    }


def answers(results: Path) -> dict[str, str]:
    """Return table -> the start of its SHA-256, of the evidence, verdicts and readings of a run.

    A change of the code that changes no answer leaves them as they are, on one machine.
    """
    tables = [*sorted(results.glob("*/evidence/*.tsv")), *sorted(results.glob("*/verdicts.tsv"))]
    tables += sorted(results.glob("*/readings.tsv"))
    return {str(path.relative_to(results)): sha256(path)[:16] for path in tables}


def machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    return {
        "cores_given": CORES,
        "cores_of_machine": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / GB, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def table(found: dict[str, object], where: dict[str, object]) -> str:
    """Return the numbers beside their limits, as Markdown."""
    lines = ["| what | measured | limit | holds |", "|---|---|---|---|"]
    for key, limit in LIMITS.items():
        lines.append(f"| {WORDS[key]} | {found[key]} | {limit} | {'yes' if found[key] <= limit else 'no'} |")
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in where.items())
    again = ", ".join(f"{rule} ({jobs})" if jobs > 1 else rule for rule, jobs in Counter(found["rerun_rules"]).items())
    rerun = f"The demo is {found['demo_jobs']} jobs; the changed threshold ran {again}."
    return "\n".join(["# The demo, measured", "", *lines, "", rerun, "", f"Machine: {told}.", "",
                      "Made by `make benchmark-demo` (benchmarks/demo.py)."]) + "\n"  # fmt: skip


def main() -> int:
    """Measure, write and print; 1 where a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a demo of toy size, printed only")
    quick = parser.parse_args().quick
    where, found = machine(), measure(quick)
    text = table(found, where)
    print(text)
    if quick:
        return 0
    record = {"measured": found, "limits": LIMITS, "machine": where}
    (HERE / "demo.json").write_text(json.dumps(record, indent=2) + "\n")
    (HERE / "demo.md").write_text(text)
    return 0 if all(found[key] <= limit for key, limit in LIMITS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
