"""What a config says of labels, read: a table of them, columns of the cells, a pattern."""

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertprobe.data.agents import Agents
from pertprobe.data.label_forms import FIELDS, MISSING, Meaning, words_of
from pertprobe.errors import PertprobeError, gathering, listed, meant, raise_together
from pertprobe.readers.texts import read_table

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
RECOGNISED = {"recognise": True}
"""What is known of labels where a config says nothing of them."""
FAULTS_SHOWN = 20


def agents_of(settings: Mapping[str, Any] | None) -> Agents | None:
    """Return what a run knows of labels, from the section `perturbations` of its config; None where it says nothing.

    `settings` are its keys as `Agents` takes them, with table (a path), columns (field -> column of obs) and cells: of
    every file that has these its path, the column of labels, and labels of controls. Raises `Faults`: all that is wrong
    with table and columns.
    """
    return _read(json.dumps(settings, sort_keys=True)) if settings else None


@lru_cache(maxsize=4)
def _read(settings: str) -> Agents:
    given = json.loads(settings)
    told = read_agent_table(given["table"]) if given.get("table") else {}
    for path, labels, *controls in given.get("cells", ()) if given.get("columns") else ():
        told |= read_agent_columns(path, labels, given["columns"], *controls)
    how = {key: given[key] for key in ("pattern", "recognise", "dose", "direction") if key in given}
    return Agents(told, **how)


def read_agent_table(path: str | Path) -> dict[str, Meaning]:
    """Read label -> what it means from a table with a header, split by tabs or commas: label, and any of `FIELDS`.

    Raises `Faults`: unknown columns, labels that stand twice, values that are none, all together.
    """
    faults: list[str] = []
    with gathering(faults, f"{path}: "):
        text = read_table(Path(path))
    raise_together(faults)
    header, *lines = csv.reader(io.StringIO(text), delimiter="\t" if "\t" in text.partition("\n")[0] else ",")
    header = [name.strip().removesuffix("s") if name.strip() == "targets" else name.strip() for name in header]
    unknown = [f"column '{each}' is none of {listed((LABEL, *FIELDS))}.{meant(each, FIELDS)}" for each in header
               if each not in (LABEL, *FIELDS)]  # fmt: skip
    missing = [] if LABEL in header else [f"has no column '{LABEL}' (found: {listed(header)})"]
    raise_together([*unknown, *missing], f"{path}: ")
    rows = [(number, line) for number, line in enumerate(lines, start=2) if any(each.strip() for each in line)]
    return _meanings(((f"line {number}", dict(zip(header, line, strict=False))) for number, line in rows), path)


def read_agent_columns(
    path: str | Path, labels: str, columns: Mapping[str, str], controls: Collection[str] = ()
) -> dict[str, Meaning]:
    """Read label -> what columns of obs say of it.

    A label whose cells are of several guides is of none. Raises `Faults`: columns that are not there, and labels of
    which one says several other things.

    Args:
        path: the h5ad.
        labels: the column of labels.
        columns: field -> column.
        controls: labels of which nothing is asked; * and ? stand for signs.
    """
    table = _labels_and(path, {LABEL: labels, **columns})
    told = table[[not any(fnmatchcase(label, each) for each in ("", *controls)) for label in table[LABEL]]]
    if "guide" in told:
        spread = told.groupby(LABEL)["guide"].transform("nunique") > 1
        told = told.assign(guide=told["guide"].where(~spread, "")).drop_duplicates()
    several = [
        f"label '{label}' has several values in obs['{column}']: {listed(sorted(set(rows[field])), 3)}. It tells "
        f"nothing of labels then: leave {field} out of perturbations.columns"
        for label, rows in told[told[LABEL].duplicated(keep=False)].groupby(LABEL)
        for field, column in columns.items()
        if rows[field].nunique() > 1
    ]
    raise_together(_first(several), f"{path}: ")
    return _meanings(((f"label '{row[LABEL]}'", row) for row in told.sort_values(LABEL).to_dict("records")), path)


def _labels_and(path: str | Path, wanted: Mapping[str, str]) -> "pd.DataFrame":
    """Return every combination of values that columns of obs have together, as text; missing ones are empty."""
    import pandas as pd  # a config is parsed without it, and without h5py

    from pertprobe.data.h5ad import CellFile

    with CellFile(path) as file:
        known = file.columns("obs")
        absent = [f"obs has no column '{each}' (found: {listed(known)}).{meant(each, known)}"
                  for each in wanted.values() if each not in known]  # fmt: skip
        raise_together(absent, f"{path}: ")
        read = {field: file.column("obs", column).astype(str) for field, column in wanted.items()}
    return pd.DataFrame(read).replace(dict.fromkeys(MISSING, "")).drop_duplicates()


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
