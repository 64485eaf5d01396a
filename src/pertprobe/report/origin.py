"""Where the numbers of a report come from: versions, hashes, machine, and what each step took."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe.report.tables import Table, table


def origin(files: Any) -> list[Table]:
    """Return the tables of provenance, from `provenance.json` and `run_times.tsv`."""
    record = json.loads(Path(files.provenance).read_text(encoding="utf-8"))
    facts = pd.DataFrame(list(_facts(record)), columns=["what", "value"])
    hashes = pd.DataFrame(list(_hashes(record)), columns=["of", "file", "sha256"])
    times = by_rule(pd.read_csv(files.times, sep="\t"))
    return [
        table(
            "origin-table", "Versions, seed and machine", facts, {"what": "What", "value": "Value"}, "provenance.json"
        ),
        table(
            "hashes-table",
            "What was read",
            hashes,
            {"of": "Of", "file": "File", "sha256": "SHA-256"},
            "provenance.json",
        ),
        table("times-table", "What each step took", times, TIMES, "run_times.tsv"),
    ]


TIMES = {
    "rule": "Step",
    "jobs": "Jobs",
    "seconds": "Seconds, all jobs",
    "longest": "Longest job, seconds",
    "memory": "Most memory, MB",
}


def by_rule(times: pd.DataFrame) -> pd.DataFrame:
    """Return number of jobs, seconds and memory of each rule, the longest first."""
    rules = times.groupby("rule", sort=True)
    found = rules.agg(
        jobs=("job", "size"), seconds=("seconds", "sum"), longest=("seconds", "max"), memory=("max_rss_mb", "max")
    )
    return found.reset_index().sort_values("seconds", ascending=False, kind="stable")


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "seed", str(record["seed"])
    yield "Python", record["python"]
    yield from record["versions"].items()
    yield from record.get("code", {}).items()
    yield from record.get("machine", {}).items()


def _hashes(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for context, digest in record["cells"].items():
        yield f"cell sets of {context}", "", digest
    for model, given in record["models"].items():
        for file, digest in given.items():
            yield f"model {model}", file, digest
    for what, given in record["inputs"].items():
        for name, digest in _named(given):
            yield what, name, digest


def _named(given: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, hash) of everything below an entry of what was checked."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            yield from _named(value, f"{name}/{key}" if name else str(key))
    elif isinstance(given, str) and len(given) == 64:
        yield name, given
