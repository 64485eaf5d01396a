"""The speed and memory of everything that matters, at the published size, beside what people do today.

Each work runs in a process of its own, one after the other, on two threads. Writes table.tsv, table.json and table.md,
and ends with status 1 where a bound does not hold. `--only routing panel` measures some works and prints them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd
import torch
from measure import COLUMNS, THREADS, Row, machine, row_of

from pertprobe.workflow.job import keep_freed_memory

HERE = Path(__file__).resolve().parent
WORKS = (
    *("routing", "panel", "atlas", "diagonal", "knockouts"),
    *("permutations", "reading", "rivals", "growth", "overhead"),
)
NUMBERS = {"seconds": 2, "ratio": 1, "floor_ratio": 2, "peak_mb": 0, "value": 2}
"""Column -> digits shown."""


def main() -> int:
    """Measure; write the tables, or print the rows of some works."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORKS, help="measure these and write no file")
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        torch.set_num_threads(THREADS)
        keep_freed_memory()  # as jobs do
        given.into.write_text(json.dumps([row.entry() for row in import_module(f"works.{given.work}").rows()]))
        return 0
    rows = [row for work in given.only or WORKS for row in measured(work)]
    print(markdown(rows))
    if not given.only:
        write(rows)
    return 1 if any(row.holds is False for row in rows) else 0


def measured(work: str) -> list[Row]:
    """Return the rows of one work, measured in a process of its own."""
    print(f"{work} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "rows.json"
        subprocess.run([sys.executable, __file__, "--work", work, "--into", into], check=True)
        rows = [row_of(entry) for entry in json.loads(into.read_text())]
    for row in rows:
        print(f"  {' | '.join(cells(row))} | {row.note}", file=sys.stderr, flush=True)
    return rows


def write(rows: Sequence[Row]) -> None:
    """Write the three tables."""
    table(rows).to_csv(HERE / "table.tsv", sep="\t", index=False)
    found = {"machine": machine(), "rows": [row.entry() for row in rows]}
    (HERE / "table.json").write_text(json.dumps(found, indent=2) + "\n")
    (HERE / "table.md").write_text(markdown(rows))


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the table as it is written."""
    return pd.DataFrame([row.entry() for row in rows]).assign(machine=machine())[list(COLUMNS)].round(NUMBERS)


def markdown(rows: Sequence[Row]) -> str:
    """Return the table for people."""
    head = ["work", "against", "seconds", "times as fast", "over the floor", "peak MB", "bound", "holds"]
    lines = [f"| {' | '.join(line)} |" for line in (head, *map(cells, rows))]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join([*lines, "", f"Machine: {machine()}.", "",
                      "Made by `make benchmarks` (benchmarks/suite.py)."]) + "\n"  # fmt: skip


def cells(row: Row) -> list[str]:
    """Return the words of one line."""
    shown = {name: "" if (found := getattr(row, name)) is None else f"{found:z,.{digits}f}"
             for name, digits in NUMBERS.items()}  # fmt: skip
    bound = f"{row.bound} (found {shown['value']})" if row.value is not None else row.bound
    holds = {True: "yes", False: "**no**", None: ""}[row.holds]
    return [row.work, row.against, *(shown[name] for name in list(NUMBERS)[:4]), bound, holds]


if __name__ == "__main__":
    sys.exit(main())
