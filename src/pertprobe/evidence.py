"""The evidence row: measured statistics with `evaluable` and `reason`; never a threshold, never a verdict."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.files import atomic
from pertprobe.statistics.multiple import benjamini_hochberg

COLUMNS: dict[str, Any] = {
    # Who and what: rows are sorted by the first eleven.
    "probe": "",
    "statistic": "",
    "adjustment": "centred",
    "model": "",
    "reference": "",
    "context": "",
    "regime": "",
    "role": "subject",
    "copy": 0,
    "program": "",
    "panel": "",
    "unit": "perturbation",
    "n": 0,
    "n_background": 0,
    # The statistic and its permutation null.
    "estimate": np.nan,
    "null_mean": np.nan,
    "null_sd": np.nan,
    "effect": np.nan,
    "ci_low": np.nan,
    "ci_high": np.nan,
    "p": np.nan,
    "p_min": np.nan,
    "p_stratified": np.nan,
    "p_min_stratified": np.nan,
    "p_used": "",
    "p_tail": np.nan,
    "n_permutations": 0,
    "q": np.nan,
    "estimate_published": np.nan,
    "p_published": np.nan,
    # Controls.
    "ceiling": np.nan,
    "disattenuated": np.nan,
    "redrawn_max": np.nan,
    "p_redrawn": np.nan,
    "exceeds_redrawn": None,
    "evaluable": True,
    "reason": "",
}
"""Column -> value of a row that does not set it. The contract of each is in docs/contracts.md."""

KEYS = list(COLUMNS)[:11]
CATEGORIES = {
    "adjustment": {"centred", "raw"},
    "role": {
        "subject",
        "redrawn",
        "shuffled",
        "planted",
        "lookup",
        "covariation",
        "additive",
        "observed",
        "coexpression",
    },
    "unit": {"perturbation", "gene"},
    "p_used": {"", "p", "p_stratified"},
}
NOT_MEASURED = "no architecture null, noise ceiling or reference rows measured"
"""Why the columns of the controls are empty."""


def row(identity: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """Return one evidence row: `identity` (probe, model, ...) and measured `values` over the defaults.

    Raises KeyError for a name that is no column.
    """
    given = {**identity, **values}
    unknown = given.keys() - COLUMNS.keys()
    if unknown:
        raise KeyError(f"no evidence column called {', '.join(sorted(unknown))}")
    return {**COLUMNS, **given, "reason": joined(given.get("reason", ""), NOT_MEASURED)}


def not_evaluable(identity: Mapping[str, Any], reason: str, **values: Any) -> dict[str, Any]:
    """Return the row of a question that could not be put."""
    return {**row(identity, **values), "evaluable": False, "reason": reason}


def tested(test: Any, *notes: str) -> dict[str, Any]:
    """Return the columns that a `statistics.permutation.Test` fills; its note, then `notes`, are the reason."""
    effect = {"effect": test.estimate - test.null_mean}
    columns = {name: value for name, value in test._asdict().items() if name in COLUMNS}
    return {**columns, **effect, "reason": joined(test.note, *notes)}


def joined(*reasons: str) -> str:
    """Return the reasons that say something, in one text."""
    return "; ".join(reason for reason in reasons if reason)


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with every column, sorted; raises ValueError for a value outside its category."""
    table = pd.DataFrame([dict(each) for each in rows], columns=list(COLUMNS))
    for column, allowed in CATEGORIES.items():
        wrong = set(table[column]) - allowed
        if wrong:
            raise ValueError(f"evidence column {column} holds {sorted(wrong)}, not one of {sorted(allowed)}")
    return _typed(table).sort_values(KEYS, kind="stable", ignore_index=True)


def with_q(table: pd.DataFrame, primary: str) -> pd.DataFrame:
    """Fill q: Benjamini-Hochberg of the p that is used, over the evaluable subject rows of the primary statistic.

    One probe's family in one run (inference.md 1); raw variants, controls and copies are outside.
    """
    family = (table.statistic == primary) & (table.role == "subject") & (table.adjustment == "centred")
    family &= table.evaluable & (table.p_used != "")
    used = table.p.where(table.p_used != "p_stratified", table.p_stratified)
    q = pd.Series(np.nan, index=table.index)
    q[family] = benjamini_hochberg(used[family].to_numpy())
    return table.assign(q=q)


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as TSV, floats with ten digits, nothing left behind on failure."""
    with atomic(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.10g")


def read(path: str | Path) -> pd.DataFrame:
    """Read an evidence table back with its types."""
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    return _typed(table[list(COLUMNS)])


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: _column(table[name], default) for name, default in COLUMNS.items()})


def _column(values: pd.Series, default: Any) -> pd.Series:
    if default is None:
        return values.map({"True": True, "False": False, True: True, False: False}).astype("boolean")
    if isinstance(default, bool):
        return values.map({"True": True, "False": False, True: True, False: False}).astype(bool)
    if isinstance(default, str):
        return values.fillna("").astype(str)
    return pd.to_numeric(values).astype(type(default))  # empty text becomes nan
