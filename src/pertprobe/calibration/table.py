"""The table of figures: what was measured, the bound it must keep, and whether it does."""

from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import binom

from pertprobe.files import write_table

COLUMNS = ["figure", "probe", "setting", "seed", "value", "sense", "level", "bound", "holds", "n", "note"]
"""What a figure is of: figure, probe, setting, seed (empty: all). `value` and what it must be: `sense` "at most" or "at
least" `bound`; empty where it is reported only. `level` is the rate the bound is made from, `n` how many draws or rows
the value counts."""
KEYS = COLUMNS[:4]
CONFIDENCE = 0.999
"""Of the one-sided binomial bounds: one in a thousand true rates is taken for a larger one."""
LARGE = 100
"""From this number of rows on a share that must be found is compared with its level itself."""
FALSE_POSITIVES, PUBLISHED = "false positives at p < 0.05", "false positives of the published test"
POWER = "power at p < 0.05"
"""Figures that are drawn."""
Sense = Literal["", "at most", "at least"]


def binomial_bound(n: int, rate: float, confidence: float = CONFIDENCE) -> float:
    """Return the share that `n` draws of this rate exceed with probability 1 - `confidence` at most."""
    return float(binom.ppf(confidence, n, rate)) / n if n else nan


def at_most(n: int, rate: float) -> float:
    """Return the largest share that is no evidence against `rate`."""
    return binomial_bound(n, rate)


def at_least(n: int, rate: float, large: int = LARGE) -> float:
    """Return the smallest share that will do: `rate` itself, or of fewer rows than `large` what it gives by chance."""
    return rate if n >= large or not n else float(binom.ppf(1 - CONFIDENCE, n, rate)) / n


def entry(
    figure: str, probe: str, setting: str, value: float, n: int, *, sense: Sense = "", bound: float = nan,
    level: float = nan, seed: int | str = "", note: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Return one row; it holds where the value keeps its bound, which a row without a sense has not."""
    row = {"figure": figure, "probe": probe, "setting": setting, "seed": str(seed), "value": float(value), "n": int(n)}
    row |= {"sense": sense, "bound": float(bound), "level": float(level), "note": note}
    return {**row, "holds": holds(row)}


def holds(row: Mapping[str, Any]) -> bool | None:
    """Return whether a value keeps its bound; None where it has none, or where it belongs to one seed of several.

    A value that could not be measured keeps no bound.
    """
    if not row["sense"] or pd.isna(row["bound"]):
        return None
    return bool(row["value"] <= row["bound"] if row["sense"] == "at most" else row["value"] >= row["bound"])


def share(
    figure: str, probe: str, setting: str, passed: Sequence[bool] | np.ndarray, *, seed: int, sense: Sense = "",
    level: float = nan, note: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Return the row of one seed: the share of its rows that pass. Seeds are judged together, see `pooled`."""
    passed = np.asarray(passed, dtype=bool)
    value = passed.mean() if passed.size else nan
    return entry(figure, probe, setting, value, passed.size, seed=seed, sense=sense, level=level, note=note)


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one judged row for all seeds of a figure, probe and setting: shares weighted by their numbers of rows."""
    found = []
    for (figure, probe, setting), group in rows.groupby(["figure", "probe", "setting"], sort=False):
        known = group[group.n > 0]
        n, sense, level = int(known.n.sum()), group.sense.iloc[0], float(group.level.iloc[0])
        value = float((known.value * known.n).sum() / n) if n else nan
        # Without a row that could be asked there is no value, and none keeps no bound.
        bound = {"at most": at_most, "at least": at_least}[sense](n or 1, level) if sense else nan
        words = "; ".join(dict.fromkeys(note for note in group.note if note))
        note = f"{group.seed.nunique()} seeds" + (f"; {words}" if words else "")
        found.append(entry(figure, probe, setting, value, n, sense=sense, bound=bound, level=level, note=note))
    return frame(found)


def gathered(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the whole table: rows of several seeds pooled, their single seeds after them."""
    rows = pd.concat(list(tables), ignore_index=True)
    of_seeds = rows[rows.seed != ""]
    return frame(
        [*rows[rows.seed == ""].to_dict("records"), *pooled(of_seeds).to_dict("records"), *of_seeds.to_dict("records")]
    )


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table; raises ValueError for two rows of one figure, probe, setting and seed."""
    table = pd.DataFrame([dict(row) for row in rows], columns=COLUMNS)
    table["holds"] = table.holds.astype("boolean")
    table = table.astype(dict.fromkeys(["figure", "probe", "setting", "seed", "sense", "note"], str))
    twice = table[table.duplicated(KEYS)]
    if len(twice):
        raise ValueError(f"calibration: two rows of {', '.join(twice.iloc[0][KEYS])}")
    return table


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as TSV, all or nothing."""
    write_table(table, path, digits=6)


def read(path: str | Path) -> pd.DataFrame:
    """Read a table back with its types."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in ("value", "level", "bound")}
    answers = table.holds.map({"True": True, "False": False}).astype("boolean")
    return table.assign(**numbers, n=table.n.astype(int), holds=answers)[COLUMNS]
