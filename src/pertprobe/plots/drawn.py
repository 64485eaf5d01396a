"""The contract between whoever draws and whoever writes: what a figure is drawn from, and what drawing gives.

`draw(inputs: DrawInputs) -> Drawn`. `write_figure(drawn, paths)` writes it in the formats that the paths name: every
page into the PDF, the first one into SVG and PNG, the caption into `<figure>.caption.txt`, which the report shows.

A caption is made from the evidence, not written once for all runs. It says, in whole sentences and in this order: what
is drawn; what a mark is, with n; what the null is; what the interval is; which test filled marks passed; what is left
out and where it stands. `sentences` joins them, `said_of` and `left_out` say what is the same for all.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from pertprobe.plots.words import p_words

Range = tuple[float | None, float | None]
"""The least and the largest value of a statistic, none where it has none."""


class Drawn(NamedTuple):
    """A figure as it is handed on."""

    figure: Figure
    """Its first page, 89 or 183 mm wide and at most 170 mm high."""
    caption: str
    """Whole sentences, plain text, made from what is drawn."""
    further: tuple[Figure, ...] = ()
    """Further pages of the same kind: they stand in the PDF alone, and the caption says so."""


class Filled(NamedTuple):
    """Which marks are filled: rows whose q (or p) is below the bound that the config judges by."""

    column: str = ""
    """Column of the evidence; empty where the config judges by none, and all marks are alike."""
    bound: float = np.nan

    def known(self, rows: pd.DataFrame) -> bool:
        """Return whether any of these rows has what marks are filled by."""
        return bool(self.column) and bool(rows[self.column].notna().any())

    def of(self, rows: pd.DataFrame) -> np.ndarray:
        """Return which rows are drawn filled: all, where nothing tells them apart."""
        return (rows[self.column] < self.bound).to_numpy() if self.known(rows) else np.ones(len(rows), bool)

    @property
    def words(self) -> str:
        """What a filled mark says."""
        return f"{self.column.removesuffix('_published')} < {p_words(self.bound)}"


@dataclass(frozen=True)
class DrawInputs:
    """What a probe draws from."""

    evidence: pd.DataFrame
    """Rows of the models themselves, intervals within the range of their statistic (`within`)."""
    measurements: Mapping[str, xr.Dataset]
    """Model -> its measurement."""
    programs: Mapping[str, Collection[str]]
    question: Mapping[str, Any]
    """The part of the config that the probe's test depends on."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Further tables that the probe made, by name."""
    thresholds: Sequence[Sequence[Any]] = ()
    """Conditions of a pass, (column, comparison, number), as the config has them."""

    @property
    def filled(self) -> Filled:
        """Which marks are filled: the bound on q that makes a pass, else that on p."""
        bounds = {column: number for column, comparison, number in self.thresholds if comparison in ("<", "<=")}
        asked = ("q", "q_published", "p", "p_published")
        return next((Filled(column, bounds[column]) for column in asked if column in bounds), Filled())

    def answered(self, statistic: str) -> pd.DataFrame:
        """Return the rows in which a statistic was tested."""
        return self.evidence[(self.evidence.statistic == statistic) & self.evidence.evaluable]

    def by_model(self, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return model -> its rows of a table, in the order of the run; models without any are left out."""
        found = {model: table[table.model == model] for model in self.question["models"]}
        return {model: rows for model, rows in found.items() if len(rows)}


def within(table: pd.DataFrame, ranges: Mapping[str, Range]) -> pd.DataFrame:
    """Return evidence whose intervals end where their statistic does: a normal interval may run past a cosine of 1."""
    found = table.copy()
    for statistic, (low, high) in ranges.items():
        mine = found.statistic == statistic
        found.loc[mine, ["ci_low", "ci_high"]] = found.loc[mine, ["ci_low", "ci_high"]].clip(low, high)
    return found


def sentences(*parts: str) -> str:
    """Return the sentences that say something, one after the other; a full stop is put where there is none."""
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)


def said_of(rows: pd.DataFrame, filled: Filled, unit: str = "members") -> str:
    """Return what is the same of all rows beside their nulls: what n, band, line and filling are."""
    counts = rows.n.dropna()
    span = "" if counts.empty else f" ({counts.min():.0f} to {counts.max():.0f})"
    return sentences(
        f"Points: estimates, in brackets n, the number of {unit}{span}",
        "Grey: the null, its mean and two standard deviations" if rows.null_sd.notna().any() else "",
        "Lines: 95 % intervals" if rows.ci_low.notna().any() else "",
        f"Filled: {filled.words}, hollow: not; p and q stand beside" if filled.known(rows) else "",
    )


def left_out(shown: int, of: int, what: str, where: str, by: str = "with the largest effects") -> str:
    """Return a sentence on what is not drawn and where it stands; empty where all is drawn."""
    return "" if shown >= of else f"Drawn are the {shown} {what} {by}, of {of}; all stand in {where}."
