"""The score card as a forest plot: every model, beside those whose kind is known, in shares of what the data allow."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pertprobe.batching import chunked
from pertprobe.plots import (
    DOUBLE,
    GOOD,
    HIGHEST,
    KNOWN,
    NULL,
    SINGLE,
    SMALL,
    SUBJECT,
    TEXT,
    Drawn,
    foot,
    nothing_to_draw,
    page,
    sentences,
    shortened,
)
from pertprobe.report.words import KINDS
from pertprobe.roles import SUBJECT as OWN
from pertprobe.stages.scorecard import shown

Line = tuple[tuple[str, str], str]
"""(model, role) of a line and what stands before it; of a heading both are empty."""
PANELS = {
    "representation": "representation",
    "routing": "routing",
    "causal": "causal",
    "fidelity": "fidelity\nof silencing",
    "intervention": "mechanism: the\nsame beyond\nco-variation",
    "accuracy": "accuracy\nof names",
}
"""Column of the figure -> its title; the answer stands on the last three."""
LIMITS = -0.6, 1.6
"""Of shares that are drawn; what lies beyond ends at the edge in an arrow."""
RIGHT = 2.3
"""Where n stands, on the scale of shares."""
ROW, HEAD, FOOT, NAMES = 3.8, 20.0, 14.0, 34.0
"""Heights in mm of a line, above and below all lines; width in mm of what names a line."""


def scorecard_figure(table: pd.DataFrame, answers: pd.DataFrame, delta: float) -> Drawn:
    """Draw estimates and 95 % intervals of every model and level; `delta` is the share that counts as mechanism.

    Args:
        table: rows of the score card.
        answers: those of the run; of all genes the fidelity is drawn.
        delta: share of the ceiling that makes an answer (`answer.delta` of the config).
    """
    lines = list(_lines(table))
    columns = [name for name in PANELS if name in set(table.level) or (name == "fidelity" and len(answers))]
    if not lines or not columns:
        return nothing_to_draw()._replace(caption="No model has a score: nothing could be tested.")
    values = {name: rows.set_index(["model", "role"]) for name, rows in _values(table, answers).items()}
    pages = chunked(lines, int((HIGHEST - HEAD - FOOT) / ROW))
    first, *further = [_page(each, columns, values, table, delta) for each in pages]
    return Drawn(first, _caption(table, columns, delta, len(further)), tuple(further))


def _page(
    lines: Sequence[Line],
    columns: Sequence[str],
    values: Mapping[str, pd.DataFrame],
    table: pd.DataFrame,
    delta: float,
) -> Figure:
    """Draw some lines of the score card, a column for each level."""
    figure = page(SINGLE if len(columns) < 3 else DOUBLE, HEAD + ROW * len(lines))
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for each, name in zip(axes, columns, strict=True):
        for y, (key, _) in enumerate(lines):
            _mark(each, y, key, values[name])
        _frame(each, name, len(lines), delta)
    _names(axes[0], lines)
    _answers(axes[-1], table, lines)
    scale = "Share of what the data allow: 0 = nothing, 1 = as the observed responses say."
    foot(figure, _handles(delta if "intervention" in columns else None), [scale, "n: programs or genes that count."])
    return figure


def _handles(delta: float | None) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=SUBJECT, marker="o", label="model of the run"),
        Line2D([], [], color=KNOWN, marker="D", markerfacecolor="white", label="model whose kind is known, same cells"),
        Line2D([], [], color="black", linestyle="", marker=">", label="goes on beyond the edge"),
    ]
    wanted = [] if delta is None else [Patch(color=GOOD, alpha=0.15, label=f"counts as mechanism: above {delta:g}")]
    return handles + wanted


def _caption(table: pd.DataFrame, columns: Sequence[str], delta: float, further: int) -> str:
    """Say what is drawn, and how much of it is known."""
    own = table[table.role == OWN]
    silent = int(own.estimate.isna().sum())
    titles = ", ".join(" ".join(PANELS[name].split()) for name in columns)
    return sentences(
        f"Score card of {own.model.nunique()} models: {titles}, each as a share of what the data allow "
        "(0: nothing; 1: as the observed responses say)",
        "Points: estimates; lines: 95 % intervals, with an arrow where they go on beyond the edge; "
        "n: programs, or genes, that could be compared with the data",
        "Diamonds: models whose kind is known, fitted to the same cells" if (table.role != OWN).any() else "",
        f"Shaded: shares above {delta:g}, which count as mechanism" if "intervention" in columns else "",
        f"{silent} of {len(own)} scores could not be made: the score card says why" if silent else "",
        f"{further} further pages stand in the PDF" if further else "",
    )


def _names(axes: Axes, lines: Sequence[Line]) -> None:
    """Write who each line is."""
    axes.set_yticks(range(len(lines)), [shortened(label, NAMES, TEXT) for _, label in lines])
    for text, ((_, role), _) in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if role == "" else "normal")
        text.set_fontstyle("normal" if role in ("", OWN) else "italic")


def _answers(axes: Axes, table: pd.DataFrame, lines: Sequence[Line]) -> None:
    """Write the answer of each line beside the last column."""
    right = RIGHT + 0.25
    if not (table.answer != "").any():
        return
    for y, ((model, role), _) in enumerate(lines):
        weight = "bold" if role == OWN else "normal"
        axes.text(right, y, _answer(table, model, role), va="center_baseline", weight=weight)
    axes.text(right, -0.9, "answer", va="bottom", fontsize=TEXT, weight="bold")


def _lines(table: pd.DataFrame) -> Iterator[Line]:
    """Yield ((model, role), label): a heading for each context, its models, then those whose kind is known."""
    for context, rows in shown(table):
        yield ("", ""), context
        for model, role in dict.fromkeys(zip(rows.model, rows.role, strict=True)):
            yield (model, role), model if role == OWN else KINDS[role]


def _values(table: pd.DataFrame, answers: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """Return column of the figure -> estimate, ci_low, ci_high, answered by model and role."""
    found = dict(iter(table.groupby("level")))
    names = {"fidelity": "estimate", "fidelity_low": "ci_low", "fidelity_high": "ci_high", "n": "answered"}
    return {**found, "fidelity": answers[answers.program == ""].rename(columns=names)}


def _mark(axes: Axes, y: int, key: tuple[str, str], values: pd.DataFrame) -> None:
    """Draw the estimate of one model and its interval, as far as they are known, and n."""
    if key not in values.index:
        return
    row, own = values.loc[key], key[1] == OWN
    if not np.isfinite(row.estimate):
        axes.text(0.5, y, "n.e.", ha="center", va="center_baseline", fontsize=SMALL, color=KNOWN)
        return
    colour, marker = (SUBJECT, "o") if own else (KNOWN, "D")
    for low, high in [(row.ci_low, row.ci_high)] if np.isfinite(row.ci_low) else []:
        axes.hlines(y, *np.clip([low, high], *LIMITS), color=colour, linewidth=0.8)
        _arrows(axes, y, low, high, colour)
    _arrows(axes, y, row.estimate, row.estimate, colour)
    if LIMITS[0] <= row.estimate <= LIMITS[1]:
        size, inside = (4, colour) if own else (3.2, "white")
        axes.plot(row.estimate, y, marker, color=colour, markersize=size, markerfacecolor=inside)
    axes.text(RIGHT, y, f"{row.answered:.0f}", ha="right", va="center_baseline", fontsize=SMALL)


def _arrows(axes: Axes, y: int, low: float, high: float, colour: str) -> None:
    """Mark where something lies beyond the edge."""
    if low < LIMITS[0]:
        axes.plot(LIMITS[0], y, "<", color=colour, markersize=3, clip_on=False)
    if high > LIMITS[1]:
        axes.plot(LIMITS[1], y, ">", color=colour, markersize=3)


def _frame(axes: Axes, name: str, lines: int, delta: float) -> None:
    axes.set_title(PANELS[name], fontsize=TEXT, loc="center", linespacing=1.05, pad=8)
    axes.text(RIGHT, -0.9, "n", ha="right", va="bottom", fontsize=SMALL, fontstyle="italic")
    axes.axvline(0, color="black", linewidth=0.5)
    axes.axvline(1, color=NULL, linewidth=0.5, linestyle=":")
    if name == "intervention":
        axes.axvspan(delta, LIMITS[1], color=GOOD, alpha=0.15, linewidth=0)
    axes.set(xlim=(LIMITS[0] - 0.15, RIGHT), ylim=(lines - 0.4, -0.6), xticks=[0, 1])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _answer(table: pd.DataFrame, model: str, role: str) -> str:
    """Return the answer of a model, in a word."""
    found = table[(table.model == model) & (table.role == role) & (table.answer != "")].answer.tolist()
    return found[0] if found else ""
