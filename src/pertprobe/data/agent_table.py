"""What a config says of labels, read: a table of them, columns of the cells, a pattern."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pertprobe.data.agents import Agents
from pertprobe.data.label_forms import FIELDS, Meaning, words_of
from pertprobe.errors import PertprobeError, gathering, listed, meant, raise_together
from pertprobe.readers.texts import read_table

LABEL = "label"
RECOGNISED = {"recognise": True}
"""What is known of labels where a config says nothing of them."""
FAULTS_SHOWN = 20


def agents_of(settings: Mapping[str, Any] | None) -> Agents | None:
    """Return what a run knows of labels, from the section `perturbations` of its config; None where it says nothing.

    `settings` are its keys as `Agents` takes them, with table (a path), columns (field -> column of obs) and cells, the
    (path, column of labels) of every file that has these. Raises `Faults`: all that is wrong with table and columns.
    """
    return _read(json.dumps(settings, sort_keys=True)) if settings else None


@lru_cache(maxsize=4)
def _read(settings: str) -> Agents:
    given = json.loads(settings)
    told = read_agent_table(given["table"]) if given.get("table") else {}
    for path, labels in given.get("cells", ()) if given.get("columns") else ():
        told |= read_agent_columns(path, labels, given["columns"])
    how = {key: given[key] for key in ("pattern", "recognise", "dose", "direction") if key in given}
    return Agents(told, **how)


def read_agent_table(path: str | Path) -> dict[str, Meaning]:
    """Read label -> what it means from a table with a header, split by tabs or commas: label, and any of `FIELDS`.

    Raises `Faults`: unknown columns, labels that stand twice, values that are none, all together.
    """
    text = read_table(Path(path))
    header, *lines = csv.reader(io.StringIO(text), delimiter="\t" if "\t" in text.partition("\n")[0] else ",")
    header = [name.strip().removesuffix("s") if name.strip() == "targets" else name.strip() for name in header]
    unknown = [f"column '{each}' is none of {listed((LABEL, *FIELDS))}.{meant(each, FIELDS)}" for each in header
               if each not in (LABEL, *FIELDS)]  # fmt: skip
    missing = [] if LABEL in header else [f"has no column '{LABEL}' (found: {listed(header)})"]
    raise_together([*unknown, *missing], f"{path}: ")
    rows = [(number, line) for number, line in enumerate(lines, start=2) if any(each.strip() for each in line)]
    return _meanings(((f"line {number}", dict(zip(header, line, strict=False))) for number, line in rows), path)


def read_agent_columns(path: str | Path, labels: str, columns: Mapping[str, str]) -> dict[str, Meaning]:
    """Read label -> what columns of obs say of it; `labels` is the column of labels, `columns` field -> column.

    Raises `Faults`: columns that are not there, and labels of which a column says several things.
    """
    from pertprobe.data.h5ad import CellFile  # with h5py: a config is parsed without it

    with CellFile(path) as file:
        known = file.columns("obs")
        wanted = {LABEL: labels, **columns}
        absent = [f"obs has no column '{each}' (found: {listed(known)}).{meant(each, known)}"
                  for each in wanted.values() if each not in known]  # fmt: skip
        raise_together(absent, f"{path}: ")
        read = {field: file.column("obs", column).astype(str) for field, column in wanted.items()}
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for label, *said in zip(*read.values(), strict=True):
        found[label].add(tuple("" if each in ("nan", "None", "<NA>") else each for each in said))
    several = [f"label '{label}' has several values in obs{list(columns.values())}: {listed(map(str, sorted(each)), 2)}"
               for label, each in sorted(found.items()) if label and len(each) > 1]  # fmt: skip
    raise_together(_first(several), f"{path}: ")
    rows = ((f"label '{label}'", {LABEL: label, **dict(zip(columns, each.pop(), strict=True))})
            for label, each in sorted(found.items()) if label)  # fmt: skip
    return _meanings(rows, path)


def _meanings(rows: Iterable[tuple[str, Mapping[str, str]]], path: str | Path) -> dict[str, Meaning]:
    found: dict[str, Meaning] = {}
    faults: list[str] = []
    for where, fields in rows:
        label = fields.get(LABEL, "").strip()
        with gathering(faults, f"{where}: "):
            if not label:
                raise PertprobeError("has no label")
            if label in found:
                raise PertprobeError(f"label '{label}' stands twice")
            found[label] = words_of(fields)
    raise_together(_first(faults), f"{path}: ")
    return found


def _first(faults: Sequence[str]) -> list[str]:
    """Return no more faults than are read, and how many there are."""
    more = len(faults) - FAULTS_SHOWN
    return [*faults[:FAULTS_SHOWN], *([f"and {more} more like these"] if more > 0 else [])]
