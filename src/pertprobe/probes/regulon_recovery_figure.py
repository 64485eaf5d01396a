"""The figure of regulon_recovery: programs beside their nulls, a band for each set of regulons."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pertprobe.plots import (
    ABREAST,
    RIVAL,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    draw_abreast,
    foot,
    height_of,
    letters,
    marks_abreast,
    nothing_to_draw,
    null_handles,
    sentences,
    share_rows,
)

AUPRC, JACOBIAN = "auprc", "auprc_jacobian"
ALL = "all regulators"
"""The row of all regulators of a set."""
ROWS, SETS = 42, 3
"""Most programs of a page, over all its bands; most bands."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw how much better regulators find their targets than their partners do, knock-out and Jacobian edges."""
    rows = inputs.evidence[inputs.evidence.evaluable]
    rows = rows.assign(program=rows.program.replace("", ALL))
    edges = rows[rows.statistic == AUPRC]
    names = sorted(set(edges.panel))
    if not names:
        return nothing_to_draw()
    most = max(3, ROWS // min(len(names), SETS) - 6)
    shared = {name: _first_all(share_rows(inputs.by_model(edges[edges.panel == name]), most)) for name in names}
    marked = rows[rows.statistic == JACOBIAN]
    first, *further = (
        _page(inputs, {name: _columns(shared[name], start) for name in names[place : place + SETS]}, marked)
        for place in range(0, len(names), SETS)
        for start in range(0, max(len(each.tables) for each in shared.values()), ABREAST)
    )
    place = "evidence/regulon_recovery.tsv"
    bands_said = [
        f"({letter}) Regulons of {name}. {each.said(inputs.filled, 'regulators', place)}"
        for letter, (name, each) in zip("abc", shared.items(), strict=False)
    ]
    caption = sentences(
        "Area under the precision-recall curve at which the knock-out of a regulator finds its known targets, less "
        "that of regulators of like expression for the same targets, mean over a program's regulators; one column per "
        "model",
        *bands_said,
        "Diamonds: the same of edges taken from the Jacobian" if len(marked) else "",
        f"{len(further)} further pages of the PDF show the rest" if further else "",
    )
    return Drawn(first, caption, tuple(further))


def _first_all(shared: Shared) -> Shared:
    """Return the rows with that of all regulators on top."""
    return shared._replace(names=sorted(shared.names, key=lambda name: name != ALL))


def _columns(shared: Shared, start: int) -> Shared:
    """Return the columns of one page."""
    chosen = list(shared.tables)[start : start + ABREAST]
    return shared._replace(tables={model: shared.tables[model] for model in chosen})


def _page(inputs: DrawInputs, shown: Mapping[str, Shared], marked: pd.DataFrame) -> Figure:
    shown = {name: each for name, each in shown.items() if each.tables}
    figure, axes = bands([len(each.tables) for each in shown.values()], [height_of(each) for each in shown.values()])
    for band, (name, each) in zip(axes, shown.items(), strict=True):
        draw_abreast(band, each, f"AUPRC less that of others, {name}", inputs.filled)
        found = inputs.by_model(marked[marked.panel == name])
        marks_abreast(band, each, found, marker="D", s=7, color=RIVAL)
    letters([band[0] for band in axes])
    diamond = Line2D([], [], marker="D", linestyle="", color=RIVAL, label="Jacobian edges")
    foot(figure, [*null_handles(inputs.filled), *([diamond] if len(marked) else [])])
    return figure
