"""The evidence row: measured statistics with `evaluable` and `reason`; never a threshold, never a verdict."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.files import write_table
from pertprobe.roles import CASCADE, COEXPRESSION, KNOWN, OBSERVED, PLANTED, REDRAWN, SUBJECT
from pertprobe.statistics.power import benjamini_hochberg

COLUMNS: dict[str, Any] = {
    # Who and what: rows are sorted by the first eleven.
    **dict.fromkeys(("probe", "statistic"), ""),
    "adjustment": "centred",
    **dict.fromkeys(("model", "reference", "context", "regime"), ""),
    **{"role": SUBJECT, "copy": 0, "program": "", "panel": ""},
    **{"unit": "perturbation", "n": 0, "n_background": 0},
    # The statistic and its permutation null.
    **dict.fromkeys(("estimate", "null_mean", "null_sd", "null_skewness", "null_own", "null_own_sd"), np.nan),
    **dict.fromkeys(("unit_sd", "effect", "ci_low", "ci_high"), np.nan),
    **dict.fromkeys(("p", "p_min", "p_stratified", "p_min_stratified"), np.nan),
    **dict.fromkeys(("p_strength", "p_without_pair", "p_beyond"), np.nan),
    "explained_by": "",
    **{"p_used": "", "p_tail": np.nan, "n_permutations": 0},
    **dict.fromkeys(("q", "estimate_published", "p_published", "q_published"), np.nan),
    # Controls.
    **dict.fromkeys(("ceiling", "disattenuated", "share_low", "share_high"), np.nan),
    **dict.fromkeys(("excess_redrawn", "excess_redrawn_low", "excess_redrawn_high"), np.nan),
    **dict.fromkeys(("excess_rivals", "excess_rivals_low", "excess_rivals_high"), np.nan),
    **{"evaluable": True, "reason": ""},
}
"""Column -> value of a row that does not set it. The contract of each is in docs/contracts.md."""

UNWRITTEN = frozenset({"p_tie", "per_unit"})
"""What rows may hold beside these, and no table keeps: the ties of a p, for the calibration, and unit -> what it
contributes to the estimate, by which a row is compared with its rivals."""
KEYS = list(COLUMNS)[:11]
CATEGORIES = {
    "adjustment": {"centred", "raw"},
    "role": {SUBJECT, OBSERVED, COEXPRESSION, *REDRAWN, *PLANTED, *KNOWN},
    "unit": {"perturbation", "gene"},
    "p_used": {"", "p", "p_stratified"},
}
ROUNDING = 1e-12
"""An effect below this share of the numbers it is the difference of is none: its null's spread is rounding too."""
CONTROLS = (*dict.fromkeys((*PLANTED, *KNOWN)), OBSERVED, COEXPRESSION)
"""Roles that are judged as if they were the model: each is a family of its own for q."""


def row(identity: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """Return one evidence row: `identity` (probe, model, ...) and measured `values` over the defaults.

    Raises KeyError for a name that is no column.
    """
    given = {**identity, **values}
    unknown = given.keys() - COLUMNS.keys() - UNWRITTEN
    if unknown:
        raise KeyError(f"no evidence column called {', '.join(sorted(unknown))}")
    return {**COLUMNS, **given}


def not_evaluable(identity: Mapping[str, Any], reason: str, **values: Any) -> dict[str, Any]:
    """Return the row of a question that could not be put."""
    return {**row(identity, **values), "evaluable": False, "reason": reason}


def tested(test: Any, *notes: str) -> dict[str, Any]:
    """Return the columns that a `statistics.permutation.Test` fills; its note, then `notes`, are the reason."""
    columns = {name: value for name, value in test._asdict().items() if name in COLUMNS or name in UNWRITTEN}
    return {**columns, "reason": joined(test.note, *notes)}


def ceilinged(ceiling: Any) -> tuple[dict[str, Any], str]:
    """Return the columns that a `statistics.reliability.Ceiling` fills, and what its reader must know."""
    interval = f"disattenuated {ceiling.disattenuated:.2f}, 95 % interval {ceiling.low:.2f} to {ceiling.high:.2f}"
    note = ceiling.note or f"ceiling: control-cell sampling only ({interval})"
    share = {"disattenuated": ceiling.disattenuated, "share_low": ceiling.low, "share_high": ceiling.high}
    return {"ceiling": ceiling.ceiling, **share}, note


def scale(table: pd.DataFrame, correlations: Collection[str]) -> pd.Series:
    """Return what each row's effect is divided by where it is compared: its null's sd, 1 for `correlations`."""
    return table.null_sd.mask(_alike(table, correlations), 1.0)


def comparable(table: pd.DataFrame, correlations: Collection[str]) -> pd.Series:
    """Return each row's effect as it is compared with that of its controls.

    In standard deviations of its own null, since raw statistics of another network are on another scale; 0 where there
    is no effect at all. The `correlations` among the statistics are on one scale already, and are compared as they are
    (methods.md, Untrained copies: the architecture null).
    """
    size = (table.estimate.abs() + table.null_mean.abs()).fillna(0.0)
    z = (table.effect / table.null_sd).mask(table.effect.abs() <= ROUNDING * size, 0.0)
    return z.mask(_alike(table, correlations), table.effect)


def _alike(table: pd.DataFrame, correlations: Collection[str]) -> pd.Series:
    """Return which rows are on one scale already."""
    return table.statistic.map(lambda name: _is_one_of(name, correlations)).astype(bool)


def _is_one_of(statistic: str, names: Collection[str]) -> bool:
    """Is it one of these, or one of them under the name of a cascade?"""
    return any(statistic == name or statistic.startswith(f"{name}_{CASCADE}") for name in names)


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


def with_q(table: pd.DataFrame, primary: str, controlled: str) -> pd.DataFrame:
    """Fill q: Benjamini-Hochberg of the p that is used, over the evaluable subject rows of the primary statistic.

    One probe's family in one run (methods.md, Rules for all statistics); raw variants and copies are outside. Planted
    models and reference rows are families of their own, so that the same thresholds can judge them, in the statistic
    `controlled` that they are compared by. q_published is the same of the published p over the programs of each model
    (methods.md, What a pass and a fail mean).
    """
    asked = table.evaluable & (table.adjustment == "centred")
    used = used_p(table)
    q, published = (pd.Series(np.nan, index=table.index) for _ in range(2))
    for role, statistics in [(SUBJECT, {primary}), *((role, {primary, controlled}) for role in CONTROLS)]:
        family = asked & (table.role == role) & table.statistic.isin(statistics) & (table.p_used != "")
        q[family] = benjamini_hochberg(used[family].to_numpy())
    subject = asked & (table.role == SUBJECT) & (table.statistic == primary) & table.p_published.notna()
    for _, rows in table[subject].groupby(["model", "reference"]):
        published[rows.index] = benjamini_hochberg(rows.p_published.to_numpy())
    return table.assign(q=q, q_published=published)


def used_p(table: pd.DataFrame) -> pd.Series:
    """Return the p of each row that a verdict uses: the stratified one where `p_used` says so."""
    return table.p.where(table.p_used != "p_stratified", table.p_stratified)


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write evidence as TSV; raises KeyError for a table that lacks a column of it."""
    write_table(table[list(COLUMNS)], path)


def read(path: str | Path) -> pd.DataFrame:
    """Read an evidence table back with its types."""
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    return _typed(table[list(COLUMNS)])


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: _column(table[name], default) for name, default in COLUMNS.items()})


def _column(values: pd.Series, default: Any) -> pd.Series:
    if isinstance(default, bool):
        return values.map({"True": True, "False": False, True: True, False: False}).astype(bool)
    if isinstance(default, str):
        return values.fillna("").astype(str)
    return pd.to_numeric(values).astype(type(default))  # empty text becomes nan
