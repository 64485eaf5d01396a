"""The page of the calibration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe.calibration import table
from pertprobe.report.page import inline_svg, write_page


def write_calibration_page(rows: str | Path, figures: Mapping[str, str | Path], path: str | Path) -> None:
    """Write the page from the table of all figures, and the drawings by name."""
    write_page("calibration.html.j2", contents(table.read(rows), figures), path)


def contents(rows: pd.DataFrame, figures: Mapping[str, str | Path]) -> dict[str, Any]:
    """Return everything the template shows: judged figures first, those of single seeds in tables of their own."""
    whole, single = rows[rows.seed == ""], rows[rows.seed != ""]
    judged = whole[whole.holds.notna()]
    return {
        "n_judged": len(judged),
        "failing": _records(judged[~judged.holds.astype(bool)]),
        "groups": {name: _records(group) for name, group in whole.groupby("figure", sort=False)},
        "seeds": {name: _wide(group) for name, group in single.groupby("figure", sort=False)},
        "figures": {name: inline_svg(path) for name, path in figures.items()},
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    answers = rows.holds.map({True: "holds", False: "does not hold"}).astype(object)
    return rows.assign(answer=answers.where(rows.holds.notna(), "")).to_dict("records")


def _wide(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the shares of every seed: a row for each probe and setting, a column for each seed."""
    wide = rows.pivot_table(index=["probe", "setting"], columns="seed", values="value", sort=False, dropna=False)
    wide = wide[sorted(wide.columns, key=int)].dropna(how="all")
    return {"seeds": list(wide.columns), "rows": [(*key, *values) for key, *values in wide.itertuples()]}
