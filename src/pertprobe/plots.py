"""How figures look: one palette, one way of writing them, and the shapes that several probes draw."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use(os.environ.get("MPLBACKEND", "Agg"))  # a notebook has its own, and shows no figure of another
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pertprobe.files import atomic

COLOURS = {"pass": "#1b7f5c", "fail": "#c8553d", "mixed": "#e0a030", "not evaluable": "#dcdcdc"}
"""Verdict -> colour; told apart in print and by most colour-blind readers, and always written in words too."""
SUBJECT, NULL = "#25557f", "#9aa5b1"
NOTHING_TESTED = "Nothing could be tested: the evidence table says why, row by row."
UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""What keeps the date out of a file, by its suffix: the same figure has the same bytes."""
plt.rc("font", size=8)
plt.rc("axes", titlesize=9, titleweight="bold", titlelocation="left")
plt.rc("axes.spines", top=False, right=False)
plt.rc("legend", frameon=False)
plt.rc("text", parse_math=False)  # a name with a dollar sign is no formula
plt.rc("svg", fonttype="none", hashsalt="pertprobe")
plt.rc("figure", dpi=100)
plt.rc("savefig", dpi=200)


@dataclass(frozen=True)
class DrawInputs:
    """What a probe draws from."""

    evidence: pd.DataFrame
    """Rows of the models themselves; their controls have a figure of their own."""
    measurements: Mapping[str, xr.Dataset]
    """Model -> its measurement."""
    programs: Mapping[str, Collection[str]]
    question: Mapping[str, Any]
    """The part of the config that the probe's test depends on."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Further tables that the probe made, by name."""

    def answered(self, statistic: str) -> pd.DataFrame:
        """Return the rows in which a statistic was tested."""
        return self.evidence[(self.evidence.statistic == statistic) & self.evidence.evaluable]

    def by_model(self, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return model -> its rows of a table, in the order of the run; models without any are left out."""
        found = {model: table[table.model == model] for model in self.question["models"]}
        return {model: rows for model, rows in found.items() if len(rows)}


def write_figure(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure in the formats its paths name; no date goes into it. It is laid out once, for all of them."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for path in paths:
        with atomic(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight", metadata=UNDATED.get(temporary.suffix))
    plt.close(figure)


def panels(n: int, width: float, height: float | Sequence[float], columns: int = 3) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` axes in a grid, each `width` inches wide; `height` of all rows, or of each.

    Of no axes: `nothing_to_draw`.
    """
    if not n:
        return nothing_to_draw(), []
    columns = min(columns, n)
    rows = -(-n // columns)
    heights = [height] * rows if isinstance(height, int | float) else list(height)
    size = (width * columns, sum(heights))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", height_ratios=heights)
    flat = list(axes.ravel())
    for spare in flat[n:]:
        spare.axis("off")
    return figure, flat[:n]


def nothing_to_draw(text: str = NOTHING_TESTED) -> Figure:
    """Return a figure that says why it is empty."""
    figure, (axes,) = panels(1, 6, 1)
    axes.axis("off")
    axes.text(0, 0.5, text, va="center", wrap=True)
    return figure


def name_of_pair(row: Any) -> str:
    """Return "model" or "model vs reference"."""
    return f"{row.model} vs {row.reference}" if row.reference else row.model


def bars_with_null(axes: Axes, rows: pd.DataFrame, label: str, title: str = "") -> None:
    """Draw each program's estimate and interval beside the range of its null (mean and two sd), best first."""
    rows = rows.sort_values("effect", kind="stable")
    places = np.arange(len(rows))
    axes.barh(places, 4 * rows.null_sd, left=rows.null_mean - 2 * rows.null_sd, height=0.7, color="#e4e8ec")
    axes.plot(rows.null_mean, places, "|", color=NULL, markersize=9)
    axes.hlines(places, rows.ci_low, rows.ci_high, color=SUBJECT, linewidth=1)
    filled = rows.q < 0.05
    axes.scatter(rows.estimate, places, s=22, zorder=3, edgecolor=SUBJECT, color=np.where(filled, SUBJECT, "white"))
    axes.set_yticks(places, [f"{row.program}  ({row.n})" for row in rows.itertuples()])
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set(ylim=(-0.7, len(rows) - 0.3), xlabel=label, title=title)


def bar_figure(
    shown: Sequence[tuple[str, str, pd.DataFrame]], width: float, heights: tuple[float, float], columns: int = 3
) -> tuple[Figure, list[Axes]]:
    """Return a figure with bars beside their nulls, one axes for each title, label and rows that are shown.

    `heights`: of an axes without rows, and of a row.
    """
    height = heights[0] + heights[1] * max((len(rows) for *_, rows in shown), default=0)
    figure, axes = panels(len(shown), width, height, columns)
    for each, (title, label, rows) in zip(axes, shown, strict=True):
        bars_with_null(each, rows, label, title)
    if shown:
        null_legend(figure)
    return figure, axes


def marks_on_bars(axes: Axes, rows: pd.DataFrame, found: pd.DataFrame, **style: Any) -> None:
    """Mark another estimate of each program on the line that `bars_with_null` drew for it, where there is any."""
    order = rows.sort_values("effect", kind="stable").program
    estimates = found.set_index("program").estimate.reindex(order)
    if estimates.notna().any():
        axes.scatter(estimates, np.arange(len(order)), zorder=4, **style)


def histograms(
    axes: Axes, values: Mapping[str, Any], bins: np.ndarray, alpha: Sequence[float] = (0.7, 0.7), **style: Any
) -> None:
    """Draw two distributions, label -> numbers: first what is compared with, then what is asked about."""
    for (label, each), colour, opacity in zip(values.items(), (NULL, SUBJECT), alpha, strict=True):
        axes.hist(each, bins, color=colour, alpha=opacity, label=label, **style)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # room for the legend above the bars
    axes.legend(loc="upper left", fontsize=6)


def written_map(axes: Axes, values: pd.DataFrame, most: float, texts: Iterable[tuple[Any, ...]], size: int) -> None:
    """Draw a table as colours from 0 to `most`, its rows named, with texts: x, y, text, whether in bold, colour."""
    axes.imshow(values.to_numpy(dtype=float), aspect="auto", cmap="PuBu", vmin=0, vmax=most)
    for x, y, text, bold, colour in texts:
        weight = "bold" if bold else "normal"
        axes.text(x, y, text, ha="center", va="center", fontsize=size, weight=weight, color=colour)
    axes.set_yticks(range(len(values)), values.index, fontsize=6)


def null_legend(figure: Figure) -> None:
    """Say what points, lines and grey ranges of `bars_with_null` are."""
    dot = {"marker": "o", "linestyle": "", "markeredgecolor": SUBJECT}
    handles = [
        plt.Line2D([], [], markerfacecolor=SUBJECT, **dot, label="q < 0.05"),
        plt.Line2D([], [], markerfacecolor="white", **dot, label="q at least 0.05"),
        plt.Line2D([], [], color=SUBJECT, label="95 % interval"),
        Patch(color="#e4e8ec", label="null, mean and 2 sd"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


Fill = Callable[[Figure, Sequence[Axes]], None]
"""Draws into one axes per model."""


def coherence_columns(inputs: DrawInputs, label: str, most: int = 20) -> tuple[list[str], tuple[float, float], Fill]:
    """Return the models with a tested program, the size in inches that each needs, and what draws them.

    Within-program coherence beside its null, one column per model, at most the `most` strongest programs.
    """
    asked = "statistic == 'coherence' and adjustment == 'centred' and role == 'subject' and evaluable"
    tested = inputs.by_model(inputs.evidence.query(asked))
    shown = {model: rows.nlargest(most, "effect") for model, rows in tested.items()}
    largest = max((len(each) for each in shown.values()), default=0)
    longest = max((len(name) for each in shown.values() for name in each.program), default=0)

    def fill(figure: Figure, axes: Sequence[Axes]) -> None:
        """Draw each model's rows on axes of its own."""
        for each, (model, rows) in zip(axes, shown.items(), strict=True):
            bars_with_null(each, rows, label, model)
        null_legend(figure)

    return list(shown), (3.4 + 0.07 * longest, 1.0 + 0.22 * largest), fill


def coherence_figure(inputs: DrawInputs, label: str) -> Figure:
    """Draw within-program coherence of each model beside its null, and nothing else."""
    models, (width, height), fill = coherence_columns(inputs, label)
    if not models:
        return nothing_to_draw()
    figure, axes = panels(len(models), width, height, columns=len(models))
    fill(figure, axes)
    return figure
