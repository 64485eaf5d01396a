"""The figure of activation_patching: what a program's direction carries, beside its null and what else was patched."""

from collections.abc import Mapping, Sequence
from typing import Any

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
    marks_abreast,
    nothing_to_draw,
    null_handles,
    paged,
    pages_said,
    sentences,
    share_rows,
)

PRIMARY = "recovered"
MARKS: Mapping[str, dict[str, Any]] = {
    "recovered_random": {"marker": "s", "color": RIVAL, "label": "random directions"},
    "induced": {"marker": ">", "color": BAD, "label": "reverse patch"},
    "recovered_feature": {"marker": "D", "color": KNOWN, "label": "one SAE feature"},
}
"""Statistic -> its mark beside the estimate of the same program: further shapes, each of a colour of its own."""
MEANT = {
    "recovered_random": "Squares: the mean over random directions that as many other perturbations name",
    "induced": "Triangles: the reverse patch, the control's run patched from the perturbed one",
    "recovered_feature": "Diamonds: the patch of one feature of the sparse autoencoder",
}
"""Statistic -> what its mark is, in the caption."""
PROGRAMS = 40
"""Most programs of a page."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's recovered share beside its null, random directions and the reverse patch."""
    shared = share_rows(inputs.by_model(inputs.answered(PRIMARY)), PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    marked = [name for name in MARKS if len(inputs.answered(name))]
    first, *further = paged(shared, lambda part: _page(inputs, part, marked))
    caption = sentences(
        "Share of delta_y that goes back when the layer is patched along a program's direction: half of the program's "
        "perturbations name the direction, the other half is scored; outputs are all but the program's own genes. One "
        "column per model",
        *(MEANT[name] for name in marked),
        shared.said(inputs.filled, "scored perturbations", "evidence/activation_patching.tsv"),
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _page(inputs: DrawInputs, shared: Shared, marked: Sequence[str]) -> Figure:
    figure, (axes,) = bands([len(shared.tables)], [height_of(shared)])
    draw_abreast(axes, shared, "share of delta_y recovered", inputs.filled)
    for name in marked:
        rows = inputs.answered(name)
        rows = rows[rows.program.isin(shared.names) & rows.model.isin(list(shared.tables))]
        marks_abreast(axes, shared, inputs.by_model(rows), s=7, **MARKS[name])
        _widen(axes, rows.estimate)
    styles = ({"markersize": 3, "linestyle": "", **MARKS[name]} for name in marked)
    foot(figure, [*null_handles(inputs.filled), *(Line2D([], [], **style) for style in styles)])
    return figure


def _widen(axes: Sequence[Axes], estimates: pd.Series) -> None:
    """Widen the view of all panels to these estimates too."""
    low, high = axes[0].get_xlim()
    room = 0.04 * (high - low)
    for each in axes:
        each.set_xlim(min(low, estimates.min() - room), max(high, estimates.max() + room))
