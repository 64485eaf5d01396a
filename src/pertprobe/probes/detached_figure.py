"""The figure of detached_jacobian: where responses come from, what comes through the cells, and what the map reads."""

from collections.abc import Mapping

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
    draw_abreast,
    height_of,
    letters,
    nothing_to_draw,
    null_legend,
    paged,
    pages_said,
    scatter,
    sentences,
    share_rows,
    wrapped,
)
from pertprobe.probes.base import itself
from pertprobe.probes.detached_tables import SIDES, named

PRIMARY = "through_cells"
PROGRAMS = 15
"""Most programs of a page."""
SHOWN, GENES = 4, 3
"""Singular vectors that are written out, and genes by which each is named."""
SOURCE, LINE = 4.6, 2.4
"""Heights in mm: of a row of points, of a line of text."""
INDENT = "\N{NO-BREAK SPACE}" * 12
"""Before the second line of a singular vector."""
WORDS = {
    "direct": "the perturbation", "cells": "the cells", "batch": "batch", "tokens": "extra tokens", "bias": "biases",
    "opening": "opening outputs",
}  # fmt: skip
"""Source of a response -> its words on the figure."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw where responses come from, each program's coherence through the cells, and the leading singular vectors."""
    shared = share_rows(inputs.by_model(inputs.answered(PRIMARY)), PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    measured = {model: itself(inputs.measurements[model]) for model in shared.tables}
    first, *further = paged(shared, lambda part: _page(inputs, part, measured))
    decomposed = any("values" in each for each in measured.values())
    caption = sentences(
        "(a) Share of each source in delta_y (opening: of outputs that open or close under the perturbation), one "
        "point for each perturbation (mean over cell sets); line and number: "
        "the median; sources without a part in any response are left out; one column per model",
        "(b) What the part that comes through the cells adds to the mean cosine of a program's responses",
        shared.said(inputs.filled, "perturbations", "evidence/detached_jacobian.tsv"),
        "(c) Leading singular vectors of the map that is frozen under one input, s their values: the genes it reads "
        "and those it writes; effective rank of it and, in brackets, of the ordinary Jacobian" * decomposed,
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def sources_of(measurement: xr.Dataset) -> pd.DataFrame:
    """Return the share of each source in every response [perturbation, source], of sources that have any part."""
    table = measurement["shares"].mean("set").to_pandas()
    return table[[source for source in table.columns if (table[source] != 0).any()]]


def _page(inputs: DrawInputs, shared: Shared, measured: Mapping[str, xr.Dataset]) -> Figure:
    columns, splits = len(shared.tables), [sources_of(measured[model]) for model in shared.tables]
    rows = max(each.shape[1] for each in splits)
    written = any("values" in measured[model] for model in shared.tables)
    heights = [14 + SOURCE * rows, height_of(shared), *([12 + 2 * LINE * SHOWN] if written else [])]
    figure, panels = bands([columns] * len(heights), heights)
    for place, (axes, model) in enumerate(zip(panels[0], shared.tables, strict=True)):
        contributions(axes, splits[place])
        axes.set_title(model)
    draw_abreast(panels[1], shared, "coherence through the cells", inputs.filled)
    for axes, model in zip(panels[2] if written else (), shared.tables, strict=False):
        vectors(axes, measured[model])
    letters([axes[0] for axes in panels])
    null_legend(figure, inputs.filled)
    return figure


def contributions(axes: Axes, shares: pd.DataFrame) -> None:
    """Draw the share of every source in every response, and their medians."""
    sources = list(shares.columns[::-1])
    for place, source in enumerate(sources):
        # Evenly spread in order of names: the spread keeps points apart and means nothing.
        heights = place + np.linspace(0.3, -0.3, len(shares))
        scatter(axes, shares[source], heights, s=2, color=NULL, alpha=0.6)
        axes.plot([shares[source].median()] * 2, [place - 0.4, place + 0.4], color=SUBJECT, linewidth=1.2)
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set_yticks(range(len(sources)), [f"{WORDS[each]}  {shares[each].median():z.2f}" for each in sources])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"share of delta_y (n = {len(shares)})")


def vectors(axes: Axes, measurement: xr.Dataset) -> None:
    """Write the leading singular vectors of the first decomposed map as genes read -> genes written."""
    axes.axis("off")
    width = axes.figure.get_size_inches()[0] * 25.4 / axes.get_subplotspec().get_gridspec().ncols - 4
    if "values" not in measurement:
        axes.text(0, 1, "map not decomposed: the model has no linear ends", va="top", fontsize=SMALL)
        return
    first = measurement.isel(at=0)
    frozen, ordinary = (float(first["effective_rank"].sel(map=name)) for name in ("frozen", "ordinary"))
    lines = [f"under {first['at'].item()}: effective rank {frozen:.1f} ({ordinary:.1f})"]
    for number in range(min(SHOWN, first.sizes["rank"])):
        genes = [named(first[name].values[number], first[dim].values, GENES) for name, dim in SIDES.values()]
        lines.append(f"s = {float(first['values'][number]):z.2f}  reads {genes[0]}\n{INDENT}writes {genes[1]}")
    axes.text(0, 1, wrapped("\n".join(lines), width, SMALL), va="top", fontsize=SMALL, linespacing=1.3)
