"""The score card as a forest plot: every model, beside those whose kind is known, in shares of what the data allow."""

from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pertprobe.plots import NULL, SUBJECT, nothing_to_draw
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
    "intervention": "mechanism\n(the same beyond\nco-variation)",
    "accuracy": "accuracy\nof names",
}
"""Column of the figure -> its title; the answer stands on the last three."""
TITLE = {"fontsize": 6.5, "fontweight": "bold", "loc": "center", "linespacing": 1.05}
KNOWN = "#7a8691"
"""Colour of models of known kind."""
LIMITS = -0.6, 1.6
"""Of shares that are drawn; what lies beyond is drawn at the edge, as an arrow."""
ROW, HEAD, FOOT = 0.18, 0.5, 0.62
"""Inches of a row, above all rows and below."""


def scorecard_figure(table: pd.DataFrame, answers: pd.DataFrame, delta: float) -> Figure:
    """Draw estimates and 95 % intervals of every model and level; `delta` is the share that counts as mechanism.

    Args:
        table: rows of the score card.
        answers: those of the run; of all genes the fidelity is drawn.
        delta: share of the ceiling that makes an answer (`answer.delta` of the config).
    """
    lines = list(_lines(table))
    columns = [name for name in PANELS if name in set(table.level) or (name == "fidelity" and len(answers))]
    if not lines or not columns:
        return nothing_to_draw()
    height = HEAD + FOOT + ROW * len(lines)
    figure, axes = plt.subplots(1, len(columns), figsize=(7.2, height), sharey=True, squeeze=False)
    figure.subplots_adjust(left=0.23, right=0.86, top=1 - HEAD / height, bottom=FOOT / height, wspace=0.12)
    places = {name: values.set_index(["model", "role"]) for name, values in _values(table, answers).items()}
    for each, name in zip(axes[0], columns, strict=True):
        for y, (key, _) in enumerate(lines):
            _mark(each, y, key, places[name])
        _frame(each, name, len(lines), delta)
    _names(axes[0, 0], lines)
    _answers(axes[0, -1], table, lines)
    _below(figure, height)
    return figure


def _names(axes: Axes, lines: Sequence[Line]) -> None:
    """Write who each line is."""
    axes.set_yticks(range(len(lines)), [label for _, label in lines])
    for text, ((_, role), _) in zip(axes.get_yticklabels(), lines, strict=True):
        text.set(color="black" if role in ("", OWN) else "#5b6670", fontweight="bold" if role == "" else "normal")


def _answers(axes: Axes, table: pd.DataFrame, lines: Sequence[Line]) -> None:
    """Write the answer of each line beside the last column."""
    right = LIMITS[1] + 0.35
    for y, ((model, role), _) in enumerate(lines):
        weight = "bold" if role == OWN else "normal"
        axes.text(right, y, _answer(table, model, role), va="center", fontsize=6.5, weight=weight)
    axes.text(right, -0.82, "answer", va="bottom", fontsize=6.5, weight="bold")


def _below(figure: Figure, height: float) -> None:
    """Say what is drawn, on what scale."""
    scale = "share of what the data allow: 0 = nothing, 1 = as the observed responses say"
    figure.supxlabel(scale, fontsize=7, y=0.12 / height)
    handles = [Line2D([], [], color=SUBJECT, marker="o", markersize=4, linewidth=1, label="models of the run"),
               Line2D([], [], color=KNOWN, marker="D", markersize=3.4, markerfacecolor="white", linewidth=1,
                      label="models whose kind is known, on the same cells")]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.22 / height), ncols=2, fontsize=6.5)


def _lines(table: pd.DataFrame) -> Iterator[Line]:
    """Yield ((model, role), label): a heading for each context, its models, then those whose kind is known."""
    for context, rows in shown(table):
        yield ("", ""), context
        for model, role in dict.fromkeys(zip(rows.model, rows.role, strict=True)):
            yield (model, role), model if role == OWN else KINDS[role]


def _values(table: pd.DataFrame, answers: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """Return column of the figure -> estimate, ci_low, ci_high by model and role."""
    found = dict(iter(table.groupby("level")))
    names = {"fidelity": "estimate", "fidelity_low": "ci_low", "fidelity_high": "ci_high"}
    return {**found, "fidelity": answers[answers.program == ""].rename(columns=names)}


def _mark(axes: Axes, y: int, key: tuple[str, str], values: pd.DataFrame) -> None:
    """Draw the estimate of one model and its interval, as far as they are known."""
    if key not in values.index:
        return
    row, own = values.loc[key], key[1] == OWN
    estimate, low, high = row.estimate, row.ci_low, row.ci_high
    if not np.isfinite(estimate):
        return
    colour, marker = (SUBJECT, "o") if own else (KNOWN, "D")
    if np.isfinite(low):
        axes.hlines(y, *np.clip([low, high], *LIMITS), color=colour, linewidth=1)
    if LIMITS[0] <= estimate <= LIMITS[1]:
        inside = colour if own else "white"
        axes.plot(estimate, y, marker, color=colour, markersize=4 if own else 3.4, markerfacecolor=inside)
    else:
        right = estimate > LIMITS[1]
        axes.plot(LIMITS[int(right)], y, ">" if right else "<", color=colour, markersize=4, clip_on=False)


def _frame(axes: Axes, name: str, lines: int, delta: float) -> None:
    axes.set_title(PANELS[name], **TITLE)
    axes.axvline(0, color="black", linewidth=0.5)
    axes.axvline(1, color=NULL, linewidth=0.5, linestyle=":")
    if name == "intervention":
        axes.axvspan(delta, LIMITS[1], color="#1b7f5c", alpha=0.08, linewidth=0)
    axes.set(xlim=LIMITS, ylim=(lines - 0.4, -0.6), xticks=[0, 1])
    axes.tick_params(length=0, labelsize=6.5)
    axes.spines[:].set_visible(False)


def _answer(table: pd.DataFrame, model: str, role: str) -> str:
    """Return the answer of a model, in a word."""
    found = table[(table.model == model) & (table.role == role) & (table.answer != "")].answer.tolist()
    return found[0] if found else ""
