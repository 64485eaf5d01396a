"""The figure of knockout_linearity: how much of each knock-out is foretold, and programs beside their nulls."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.plots import (
    NULL,
    SMALL,
    SUBJECT,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    coherent,
    draw_abreast,
    foot,
    height_of,
    letters,
    nothing_to_draw,
    null_handles,
    paged,
    pages_said,
    points_or_density,
    row_words,
    sentences,
)

PROGRAMS = 26
"""Most programs of a page."""
TOP = 55.0
"""Height in mm of the panels of genes."""
LOWEST = -1.0
"""Share explained below which genes stand at the lower edge: a prediction that is worse than none by its own size."""
NAMED = 3
"""Genes that are named: those foretold worst."""


Copies = Callable[[xr.Dataset], pd.Series]
"""Given a measurement, returns the mean share explained over untrained copies, by gene."""


def draw(inputs: DrawInputs, copies: Copies) -> Drawn:
    """Draw how much of each gene's knock-out its prediction explains, by what the cells lose, and by program."""
    tables = inputs.by_model(inputs.tables["genes"])
    if not tables:
        return nothing_to_draw()
    shared = coherent(inputs, PROGRAMS, "agreement")
    shared = shared._replace(tables={model: shared.tables.get(model, inputs.evidence[:0]) for model in tables})
    first, *further = paged(shared, lambda part: _page(inputs, part, tables, copies))
    caption = sentences(
        "(a) Share of a gene's knock-out that its first-order prediction at the cells explains (1: all of it, 0: "
        "none), by what a cell loses of the gene, mean over cell sets; below, what is tested of all genes: how much "
        "more a knock-out agrees with its own prediction than with those of genes of like expression",
        f"Genes below {LOWEST:g} stand at the lower edge; the {NAMED} foretold worst are named",
        "(b) The same difference of Spearman's r by program" if shared.names else "",
        shared.said(inputs.filled, "genes", "evidence/knockout_linearity.tsv") if shared.names else "",
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _page(inputs: DrawInputs, shared: Shared, tables: dict[str, pd.DataFrame], copies: Copies) -> Figure:
    columns, by_program = len(shared.tables), bool(shared.names)
    figure, axes = bands([columns] * (1 + by_program), [TOP, *([height_of(shared)] if by_program else [])])
    tested = inputs.answered("agreement_all_genes")
    for each, model in zip(axes[0], shared.tables, strict=True):
        fits = tables[model].groupby("gene")[["lost", "explained"]].mean()
        _genes(each, fits, copies(inputs.measurements[model]))
        below = "".join(f"\n{row_words(row)}" for _, row in tested[tested.model == model].head(1).iterrows())
        each.set(
            title=f"{model} ({fits.explained.notna().sum()} genes)",
            xlabel=f"loss of the silenced gene, mean over cells{below}",
        )
    axes[0][0].set_ylabel("share of the shift explained")
    if by_program:
        draw_abreast(axes[1], shared, "r less that of others", inputs.filled)
    letters([band[0] for band in axes])
    foot(figure, [*axes[0][0].get_legend_handles_labels()[0], *(null_handles(inputs.filled) if by_program else [])])
    return figure


def _genes(axes: Axes, fits: pd.DataFrame, copies: pd.Series) -> None:
    """Draw each gene, that of untrained copies behind it."""
    bottom = max(LOWEST, min(0.0, float(np.nanmin([*fits.explained, *copies, 0]))))
    edge = bottom - 0.04 * (1 - bottom)
    if len(copies):
        style = {"s": 6, "color": NULL, "marker": "s", "label": "untrained copies, mean"}
        points_or_density(axes, fits.lost, copies.reindex(fits.index).clip(lower=edge), **style)
    points_or_density(axes, fits.lost, fits.explained.clip(lower=edge), "Blues", s=6, color=SUBJECT, label="the model")
    for value in (0, 1):
        axes.axhline(value, color="black", linewidth=0.4, linestyle=":")
    for gene, row in _apart(fits.nsmallest(NAMED, "explained"), fits, edge).iterrows():
        axes.annotate(
            gene, (row.lost, max(row.explained, edge)), (3, 0), textcoords="offset points", fontsize=SMALL, va="center"
        )
    axes.set_ylim(edge - 0.05 * (1 - bottom), 1.08)


def _apart(named: pd.DataFrame, fits: pd.DataFrame, edge: float) -> pd.DataFrame:
    """Return the genes to name whose names lie over no earlier one."""
    kept: list[str] = []
    for gene, row in named.iterrows():
        near = [
            abs(row.lost - named.lost[other]) < 0.3 * np.ptp(fits.lost)
            and abs(max(row.explained, edge) - max(named.explained[other], edge)) < 0.08 * (1 - edge)
            for other in kept
        ]
        kept += [] if any(near) else [gene]
    return named.loc[kept]
