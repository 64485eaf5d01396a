"""The figure of intervention_fidelity: programs beside their nulls, and every gene beside its rival and its ceiling."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pertprobe.plots import (
    NULL,
    SMALL,
    SUBJECT,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    draw_abreast,
    foot,
    height_of,
    letters,
    nothing_to_draw,
    null_handles,
    parted,
    points_or_density,
    row_words,
    sentences,
    share_rows,
)

PRIMARY = "beyond_covariation"
ALL_GENES = f"{PRIMARY}_all_genes"
PROGRAMS, SQUARE = 24, 62.0
"""Most programs of a page; height in mm of the panels of genes."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw what silencing says of knock-downs beyond co-variation, by program and by gene."""
    if not (tables := inputs.by_model(inputs.tables["genes"])):
        return nothing_to_draw()
    shared = share_rows(inputs.by_model(inputs.answered(PRIMARY)), PROGRAMS)
    first, *further = [_page(inputs, {name: tables[name] for name in part}, shared) for part in parted([*tables])]
    letter = iter("ab") if shared.names else iter(("", ""))
    ranks = "Rank correlation of what silencing a gene does with what its knock-down does, less that with the "
    ranks += "knock-downs of other genes of like effect"
    caption = sentences(
        f"({next(letter)}) {ranks}, the mean over a program's genes, what co-variation foretells taken out of both; "
        "one column per model"
        if shared.names
        else "",
        shared.said(inputs.filled, "genes", "evidence/intervention_fidelity.tsv") if shared.names else "",
        f"({next(letter)}) "
        * bool(shared.names)
        + "Every gene: the same of the model, nothing taken out, against that of the rival of the largest mean, made "
        "of co-variation alone; above the dotted line the model says more",
        "Dashes: one half of the cells in place of the model, the ceiling",
        "In words: all genes together, beyond co-variation, with n, 95 % interval, null and p, and the share of the "
        "ceiling where there is one",
        f"{len(further)} further pages of the PDF hold further models" if further else "",
    )
    return Drawn(first, caption, tuple(further))


def _page(inputs: DrawInputs, tables: Mapping[str, pd.DataFrame], shared: Shared) -> Figure:
    rows = shared._replace(tables={name: shared.tables[name] for name in tables if name in shared.tables})
    heights = [*([height_of(rows)] if rows.tables else []), SQUARE]
    figure, panels = bands([len(rows.tables), len(tables)][-len(heights) :], heights)
    if rows.tables:
        draw_abreast(panels[0], rows, "beyond co-variation", inputs.filled)
    said = inputs.by_model(inputs.answered(ALL_GENES))
    for axes, (model, table) in zip(panels[-1], tables.items(), strict=True):
        _scatter(axes, table)
        axes.set_title(model)
        _together(axes, said.get(model, inputs.evidence[:0]))
    letters([axes[0] for axes in panels])
    marks = [
        Line2D([], [], marker="o", linestyle="", color=SUBJECT, label="a gene"),
        Line2D([], [], marker="_", linestyle="", color=NULL, label="its ceiling"),
        Line2D([], [], color="black", linestyle=":", label="as the strongest rival"),
    ]
    foot(figure, [*(null_handles(inputs.filled) if rows.tables else []), *marks])
    return figure


def _scatter(axes: Axes, table: pd.DataFrame) -> None:
    """Draw what each gene's silencing says, against its strongest rival, with its ceiling."""
    rival = table.strongest_rival
    points_or_density(axes, rival, table.ceiling_fidelity, s=9, marker="_", color=NULL, linewidth=0.6)
    points_or_density(
        axes, rival, table.fidelity, cmap="Blues", s=2 if len(table) > 500 else 5, color=SUBJECT, zorder=3
    )
    both = table[["strongest_rival", "fidelity"]].to_numpy()
    ends = [np.nanmin(both), np.nanmax(both)]
    axes.plot(ends, ends, color="black", linewidth=0.6, linestyle=":")
    axes.axhline(0, color="black", linewidth=0.4)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))  # room for the words above the points
    axes.set(xlabel="the strongest rival", ylabel="the model")


def _together(axes: Axes, rows: pd.DataFrame) -> None:
    """Write what was found of all genes together."""
    for _, row in rows.iterrows():
        words = [f"all genes (n = {row.n:.0f})", row_words(row)]
        if row.share_low == row.share_low:
            words.append(f"of the ceiling {row.disattenuated:z.2f} [{row.share_low:z.2f}, {row.share_high:z.2f}]")
        axes.text(0.02, 0.98, "\n".join(words), transform=axes.transAxes, va="top", fontsize=SMALL)
