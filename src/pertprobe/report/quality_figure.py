"""The figure of prediction quality: each perturbation beside the mean shift and beside the data's own ceiling."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pertprobe.plots import (
    BAD,
    NULL,
    SUBJECT,
    Drawn,
    foot,
    letters,
    nothing_to_draw,
    panels,
    scatter,
    sentences,
)
from pertprobe.stages.quality import HELD_OUT, medians

GROUPS = {
    "trained here": (("here",), SUBJECT, "o"),
    "held out": (HELD_OUT, BAD, "^"),
    "unknown": (("unknown",), NULL, "s"),
}
"""What was seen -> its statuses, colour and marker (told apart without colour too)."""


def quality_figure(table: pd.DataFrame) -> Drawn:
    """Draw r of every perturbation against the mean shift's, and against its ceiling, from a quality table."""
    if table[["r", "r_mean_shift"]].dropna().empty:
        why = "No perturbation has both a varying prediction and a baseline."
        return nothing_to_draw(why)
    figure, (left, right) = panels(2, 89, 80)
    _scatter(left, table, "r_mean_shift")
    left.set(title="Against the mean shift", xlabel="r of the mean shift of all other perturbations")
    _scatter(right, table, "ceiling")
    without = int(table.ceiling.isna().sum())
    label = "ceiling" + (f" ({without} perturbations without)" if without else "")
    right.set(title="Against the data's own ceiling", xlabel=label)
    letters([left, right])
    foot(figure, left.get_legend_handles_labels()[0], ["Lines: medians. Dotted: where both are equal."])
    return Drawn(figure, _caption(table, without))


def _caption(table: pd.DataFrame, without: int) -> str:
    groups = [(name, table[table.seen.isin(statuses)]) for name, (statuses, _, _) in GROUPS.items()]
    said = [f"{name}: n = {len(rows)}, median r {medians(rows)['r']:z.2f}" for name, rows in groups if len(rows)]
    return sentences(
        "Pearson r of predicted with observed delta_y, a point for each perturbation: against what the mean shift of "
        "all others reaches (a), and against the ceiling that two halves of the observed cells set (b)",
        "; ".join(said),
        "Lines: medians; dotted: where both are equal",
        f"{without} perturbations have too few cells for a ceiling and are missing in b" if without else "",
    )


def _scatter(axes: Axes, table: pd.DataFrame, beside: str) -> None:
    """Draw r against another column, medians as lines, and the diagonal on which both are equal."""
    low = min(-0.05, float(np.nanmin(table[["r", "r_mean_shift"]].to_numpy())) - 0.05)
    axes.plot([low, 1], [low, 1], color="black", linewidth=0.6, linestyle=":")
    for name, (statuses, colour, marker) in GROUPS.items():
        rows = table[table.seen.isin(statuses)]
        if rows.empty:
            continue
        median = medians(rows)["r"]
        label = f"{name} (n = {len(rows)}), median {median:z.2f}"
        scatter(axes, rows[beside], rows.r, marker=marker, color=colour, alpha=0.7, label=label)
        axes.axhline(median, color=colour, linewidth=0.8, alpha=0.6)
    axes.set(xlim=(low, 1.02), ylim=(low, 1.02), aspect="equal", ylabel="r, predicted with observed delta_y")
