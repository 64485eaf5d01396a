"""Models side by side: programs are rows that all models share, each model a column of estimates beside their nulls."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.evidence import used_p
from pertprobe.plots.drawn import DrawInputs, Filled, left_out, said_of, sentences
from pertprobe.plots.page import DOUBLE, SINGLE, page
from pertprobe.plots.rows import faces
from pertprobe.plots.style import BAND, NULL, SMALL, SUBJECT, TEXT
from pertprobe.plots.words import MM, p_words, shortened, text_width

ABREAST = 4
"""Columns of a page: more models go on pages of their own."""
NAMES = {SINGLE: 0.4, DOUBLE: 0.25}
"""Width of a page -> share of it that the names of shared rows may take."""
LINE, AROUND = 3.0, 14.0
"""Heights in mm: of a shared row, and of what stands above and below them."""


class Shared(NamedTuple):
    """Rows that several models share."""

    tables: Mapping[str, pd.DataFrame]
    """Column -> evidence, one row for each program that was tested."""
    names: Sequence[str]
    """The programs that are drawn, the first one on top."""

    @property
    def tested(self) -> int:
        """How many programs were tested in any column."""
        return len({name for table in self.tables.values() for name in table.program})

    @property
    def complete(self) -> bool:
        """Whether every program that was tested is drawn."""
        return len(self.names) >= self.tested

    @property
    def drawn(self) -> pd.DataFrame:
        """The rows that are drawn, of all columns."""
        every = pd.concat(self.tables.values())
        return every[every.program.isin(self.names)]

    def labels(self, room: float) -> list[str]:
        """Return "name (n)" of each row in at most `room` mm; n from least to most where columns differ."""
        counts = self.drawn.groupby("program").n.agg(["min", "max"]).astype(int)
        found = []
        for name, (least, most) in zip(self.names, counts.loc[list(self.names)].to_numpy(), strict=True):
            end = f" ({least})" if least == most else f" ({least} to {most})"
            found.append(shortened(name, room - text_width(end, TEXT), TEXT) + end)
        return found

    def said(self, filled: Filled, unit: str, where: str) -> str:
        """Return the sentences of a caption that are the same for all rows that models share."""
        rest = left_out(len(self.names), self.tested, "programs", where, "with the smallest p in any column")
        return sentences(said_of(self.drawn, filled, unit), rest)


def share_rows(tables: Mapping[str, pd.DataFrame], most: int) -> Shared:
    """Return rows that columns share: at most `most` programs, by their smallest p, and of those by what they exceed.

    They stand in order of their mean effect, in standard deviations of its null, the largest on top.
    """
    kept = {column: table for column, table in tables.items() if len(table)}
    if not kept:
        return Shared({}, [])
    every = pd.concat(kept.values())
    every = every.assign(used=used_p(every), z=every.effect / every.null_sd)
    best = every.groupby("program").agg(p=("used", "min"), z=("z", "max"), mean=("z", "mean")).fillna({"p": 1, "z": 0})
    chosen = best.reset_index().sort_values(["p", "z", "program"], ascending=[True, False, True]).head(most)
    order = chosen.sort_values(["mean", "program"], ascending=[False, True], kind="stable")
    return Shared(kept, order.program.tolist())


def coherent(inputs: DrawInputs, most: int, statistic: str = "coherence") -> Shared:
    """Return the rows of a statistic of programs, a column for each model of the run in which any was tested."""
    tested = inputs.answered(statistic)
    return share_rows(inputs.by_model(tested[tested.adjustment == "centred"]), most)


def height_of(shared: Shared) -> float:
    """Return the height in mm of a band of shared rows."""
    return AROUND + LINE * (max(len(shared.names), 2) + 1)


def bands(columns: Sequence[int], heights: Sequence[float]) -> tuple[Figure, list[list[Axes]]]:
    """Return a page with bands of panels above each other, so many panels and mm high each.

    Margins of one band leave the others alone. The page is 89 mm wide where every band has one panel.
    """
    figure = page(SINGLE if max(columns) == 1 else DOUBLE, sum(heights))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    return figure, [list(grid[place].subgridspec(1, n).subplots(squeeze=False)[0]) for place, n in enumerate(columns)]


def paged(shared: Shared, page_of: Callable[[Shared], Figure]) -> list[Figure]:
    """Return the pages of shared rows, each drawn by `page_of` with at most ABREAST columns."""
    columns = list(shared.tables)
    parts = [columns[start : start + ABREAST] for start in range(0, len(columns), ABREAST)]
    return [page_of(shared._replace(tables={each: shared.tables[each] for each in part})) for part in parts]


def pages_said(shared: Shared) -> str:
    """Return the sentence on columns that stand on further pages; empty where one page has all."""
    rest = len(shared.tables) - ABREAST
    return f"{rest} further models stand on further pages of the PDF" if rest > 0 else ""


def draw_abreast(axes: Sequence[Axes], shared: Shared, label: str, filled: Filled) -> None:
    """Draw each column of shared rows on axes of its own, names at the first, all to one scale."""
    low, high = _span(shared.drawn)
    for each, (column, table) in zip(axes, shared.tables.items(), strict=True):
        _draw_column(each, table.set_index("program").reindex(shared.names), filled)
        each.set(xlim=(low, high), ylim=(len(shared.names) - 0.4, -1.4), title=column, xlabel=label)
        each.set_yticks(range(len(shared.names)), [""] * len(shared.names))
        each.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(shared.names)), shared.labels(names_room(axes[0].figure)))


def names_room(figure: Figure) -> float:
    """Return the width in mm that names of shared rows may take on a page."""
    width = figure.get_size_inches()[0] * MM
    return NAMES[SINGLE if width < DOUBLE - 1 else DOUBLE] * width


def _span(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis that shows every estimate, its null and its interval."""
    parts = [
        rows.estimate,
        rows.ci_low,
        rows.ci_high,
        rows.null_mean - 2 * rows.null_sd,
        rows.null_mean + 2 * rows.null_sd,
    ]
    values = np.concatenate([each.dropna() for each in parts])
    if values.min() < np.ptp(values) and values.max() > -np.ptp(values):  # 0 is near enough to be shown
        values = np.append(values, 0.0)
    room = 0.05 * (np.ptp(values) or 1.0)
    return float(values.min() - room), float(values.max() + room)


def _draw_column(axes: Axes, rows: pd.DataFrame, filled: Filled) -> None:
    """Draw rows 0, 1, ... from the top: estimate, interval, null, p and q; a program that was not tested is empty."""
    places, known = np.arange(len(rows)), rows.estimate.notna().to_numpy()
    axes.barh(places, 4 * rows.null_sd, left=rows.null_mean - 2 * rows.null_sd, height=0.7, color=BAND)
    axes.plot(rows.null_mean, places, "|", color=NULL, markersize=5)
    axes.hlines(places, rows.ci_low, rows.ci_high, color=SUBJECT, linewidth=0.8)
    inside = faces(filled, rows)
    style = {"s": 10, "zorder": 3, "linewidth": 0.7, "edgecolor": SUBJECT}
    axes.scatter(rows.estimate[known], places[known], color=inside[known], **style)
    if not known.any():
        axes.text(0.5, 0.5, "not evaluable", transform=axes.transAxes, ha="center", va="center")
        return
    axes.axvline(0, color="black", linewidth=0.4)
    beside_rows(axes, {"p": used_p(rows), "q": rows.q}, known)


def beside_rows(axes: Axes, columns: Mapping[str, pd.Series], known: np.ndarray) -> None:
    """Write p and q to the right of rows 0, 1, ... that are known; a column without a number is left out."""
    numbers = {name: values for name, values in columns.items() if values.notna().any()}
    texts = {
        name: [p_words(v) if k else "" for v, k in zip(each, known, strict=True)] for name, each in numbers.items()
    }
    for place, (heading, column) in enumerate(texts.items()):
        for y, text in [*enumerate(column), (-1, heading)]:
            axes.annotate(
                text, (1, y), (3 + 20 * place, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                fontsize=SMALL, va="center", annotation_clip=False, fontstyle="italic" if y < 0 else "normal",
            )  # fmt: skip


def marks_abreast(axes: Sequence[Axes], shared: Shared, marked: Mapping[str, pd.DataFrame], **style: object) -> None:
    """Mark another estimate of each program on its row, where a column has one."""
    for each, column in zip(axes, shared.tables, strict=True):
        if column in marked:
            found = marked[column].set_index("program").estimate.reindex(shared.names)
            each.scatter(found, np.arange(len(found)), zorder=4, linewidth=0, **style)


def row_words(row: pd.Series) -> str:
    """Return the estimate of an evidence row with its 95 % interval, its null and its p, as far as it has them."""
    interval = f" [{row.ci_low:z.2f}, {row.ci_high:z.2f}]" if row.ci_low == row.ci_low else ""
    null = f", null {row.null_mean:z.2f} ± {row.null_sd:z.2f}" if row.null_sd == row.null_sd else ""
    p = row.p_stratified if row.p_used == "p_stratified" else row.p
    said = f", p {p_words(p)}" if p == p else ""
    return f"{row.estimate:z.2f}{interval}{null}{said}"
