"""Rows beside their nulls: the form in which most probes show their programs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pertprobe.plots.drawn import Filled
from pertprobe.plots.page import HIGHEST, foot
from pertprobe.plots.style import BAND, NULL, SMALL, SUBJECT, TEXT
from pertprobe.plots.words import MM, named_rows, p_words

ROW, HEAD, FOOT = 3.1, 15.0, 8.0
"""Heights in mm: of a row, of what stands above and below all rows of a panel, of the legend of the page."""
WIDTH = 45.0
"""Least width in mm of a panel of rows: four stand side by side."""
ALIKE = Filled()
"""Marks that nothing tells apart."""
NAMES = 0.36
"""Share of a panel's width that names of rows may take."""


def rows_height(n: int) -> float:
    """Return the height in mm of a panel of `n` rows."""
    return HEAD + ROW * max(n, 3)


def most_rows(panels_above: int = 1, beside: float = 0.0) -> int:
    """Return how many rows a panel may have of so many above each other; `beside` mm are kept for what else stands."""
    return max(3, int(((HIGHEST - FOOT - beside) / panels_above - HEAD) / ROW))


def name_of_pair(row: Any) -> str:
    """Return "model" or "model vs reference"."""
    return f"{row.model} vs {row.reference}" if row.reference else row.model


def bars_with_null(axes: Axes, rows: pd.DataFrame, label: str, title: str = "", filled: Filled = ALIKE) -> None:
    """Draw each program's estimate and interval beside the range of its null (mean and two sd), the best on top.

    n stands in brackets behind the name, p and q beside the row; `filled` says which points are.
    """
    rows = rows.sort_values("effect", kind="stable")
    places = np.arange(len(rows))
    axes.barh(places, 4 * rows.null_sd, left=rows.null_mean - 2 * rows.null_sd, height=0.7, color=BAND)
    axes.plot(rows.null_mean, places, "|", color=NULL, markersize=6)
    axes.hlines(places, rows.ci_low, rows.ci_high, color=SUBJECT, linewidth=0.8)
    inside = np.where(filled.of(rows), SUBJECT, "white")
    axes.scatter(rows.estimate, places, s=10, zorder=3, linewidth=0.7, edgecolor=SUBJECT, color=inside)
    name_rows(axes, list(rows.program), list(rows.n))
    axes.axvline(0, color="black", linewidth=0.4)
    write_beside(axes, {name: rows[name].map(p_words) for name in ("p", "q") if rows[name].notna().any()})
    axes.set(ylim=(-0.7, len(rows) + 0.4), xlabel=label, title=title)


def name_rows(axes: Axes, names: list[str], counts: list[int]) -> None:
    """Name the rows of a panel, n behind each, in the share of its width that is theirs."""
    spec = axes.get_subplotspec()
    columns = spec.get_gridspec().ncols if spec else 1
    room = NAMES * axes.figure.get_size_inches()[0] * MM / columns
    axes.set_yticks(range(len(names)), named_rows(names, [int(count) for count in counts], room, TEXT))
    axes.tick_params(axis="y", length=0)


def write_beside(axes: Axes, columns: dict[str, pd.Series]) -> None:
    """Write columns of short texts to the right of rows 0, 1, ..., their headings above."""
    for place, (heading, texts) in enumerate(columns.items()):
        style = {
            "xycoords": ("axes fraction", "data"),
            "textcoords": "offset points",
            "fontsize": SMALL,
            "va": "center",
        }
        for y, text in enumerate([*texts, heading]):
            italic = "italic" if y == len(texts) else "normal"
            axes.annotate(text, (1, y), (3 + 21 * place, 0), fontstyle=italic, annotation_clip=False, **style)


def null_handles(filled: Filled = ALIKE) -> list[Any]:
    """Return what points, lines and grey ranges of `bars_with_null` are, as entries of a legend."""
    dot = {"marker": "o", "linestyle": "", "markeredgecolor": SUBJECT}
    points = [
        Line2D([], [], markerfacecolor=SUBJECT, **dot, label=filled.words),
        Line2D([], [], markerfacecolor="white", **dot, label=f"not {filled.words}"),
    ] if filled.column else [Line2D([], [], markerfacecolor=SUBJECT, **dot, label="estimate")]  # fmt: skip
    return [
        *points,
        Line2D([], [], color=SUBJECT, label="95 % interval"),
        Patch(color=BAND, label="null, mean and 2 sd"),
    ]


def null_legend(figure: Figure, filled: Filled = ALIKE, notes: Sequence[str] = ()) -> None:
    """Say at the foot what points, lines and grey ranges of `bars_with_null` are."""
    foot(figure, null_handles(filled), ["In brackets: n.", *notes])
