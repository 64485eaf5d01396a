"""The figure of activation_patching: what a program's direction carries, beside its null and what else was patched."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pertprobe.plots import (
    BAD,
    KNOWN,
    RIVAL,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    draw_abreast,
    foot,
    height_of,
    nothing_to_draw,
    null_handles,
    paged,
    pages_said,
    sentences,
    share_rows,
)

PRIMARY = "recovered"
MARKS: Mapping[str, dict[str, Any]] = {
    "recovered_random": {"marker": "x", "color": RIVAL, "label": "random directions"},
    "induced": {"marker": ">", "color": BAD, "label": "reverse patch"},
    "recovered_feature": {"marker": "D", "color": KNOWN, "label": "one SAE feature"},
}
"""Statistic -> its mark beside the estimate of the same program: further shapes, each of a colour of its own."""
MEANT = {
    "recovered_random": "x: the mean over random directions that as many other perturbations name",
    "induced": "triangles: the reverse patch, the control's run patched from the perturbed one",
    "recovered_feature": "diamonds: the patch of one feature of the sparse autoencoder",
}
"""Statistic -> what its mark is, in the caption."""
PROGRAMS = 40
"""Most programs of a page."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's recovered share beside its null, random directions and the reverse patch."""
    shared = share_rows(inputs.by_model(inputs.answered(PRIMARY)), PROGRAMS)
    if not shared.names:
        return Drawn(nothing_to_draw(), "")
    marked = [name for name in MARKS if len(inputs.answered(name))]
    first, *further = paged(shared, lambda part: _page(inputs, part, marked))
    caption = sentences(
        "Share of delta_y that goes back when the layer is patched along a program's direction: half of the program's "
        "perturbations name the direction, the other half is scored; outputs are all but the program's own genes. One "
        "column per model",
        shared.said(inputs.filled, "scored perturbations", "evidence/activation_patching.tsv"),
        _capital("; ".join(MEANT[name] for name in marked)),
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _page(inputs: DrawInputs, shared: Shared, marked: Sequence[str]) -> Figure:
    figure, (axes,) = bands([len(shared.tables)], [height_of(shared)])
    draw_abreast(axes, shared, "share of delta_y recovered", inputs.filled)
    for name in marked:
        rows = inputs.answered(name)
        rows = rows[rows.program.isin(shared.names) & rows.model.isin(list(shared.tables))]
        for each, model in zip(axes, shared.tables, strict=True):
            _mark(each, rows[rows.model == model], shared.names, MARKS[name])
        _widen(axes, rows.estimate)
    styles = ({"markersize": 3, "linestyle": "", **MARKS[name]} for name in marked)
    foot(figure, [*null_handles(inputs.filled), *(Line2D([], [], **style) for style in styles)])
    return figure


def _mark(axes: Axes, rows: pd.DataFrame, names: Sequence[str], style: Mapping[str, Any]) -> None:
    """Mark another estimate on the row of each program that has one."""
    found = rows.set_index("program").estimate.reindex(names)
    axes.scatter(found, np.arange(len(names)), s=7, linewidth=0.7, zorder=2.5, **style)


def _widen(axes: Sequence[Axes], estimates: pd.Series) -> None:
    """Widen the view of all panels to these estimates too."""
    low, high = axes[0].get_xlim()
    room = 0.04 * (high - low)
    for each in axes:
        each.set_xlim(min(low, estimates.min() - room), max(high, estimates.max() + room))
