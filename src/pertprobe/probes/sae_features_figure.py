"""The figure of sae_features: programs beside their nulls, and what features say beyond principal components."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.plots import (
    NULL,
    SUBJECT,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    coherent,
    draw_abreast,
    height_of,
    letters,
    nothing_to_draw,
    null_legend,
    paged,
    pages_said,
    points_or_density,
    sentences,
)

PROGRAMS = 30
"""Most programs of a page."""
SQUARE = 48.0
"""Height in mm of features against components."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's coherence in SAE features beside its null, and beside that in principal components."""
    shared = coherent(inputs, PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    rival = coherent(inputs, PROGRAMS, "coherence_pca")
    first, *further = paged(shared, lambda part: _page(inputs, part, rival))
    both = "" if not rival.names else (
        "(b) Every program by what it has more than units outside it, in standard deviations of its null: in SAE "
        "features and in as many principal components as explain as much of the activations; above the line the "
        "features say more"
    )  # fmt: skip
    caption = sentences(
        "(a) Mean cosine of the SAE features of a program's members, the mean over perturbations removed; one column "
        "per model",
        shared.said(inputs.filled, "perturbations", "evidence/sae_features.tsv"),
        both,
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _page(inputs: DrawInputs, shared: Shared, rival: Shared) -> Figure:
    columns = len(shared.tables)
    both = [model for model in shared.tables if model in rival.tables]
    count, heights = [columns, *([columns] if both else [])], [height_of(shared), *([SQUARE] if both else [])]
    figure, axes = bands(count, heights)
    draw_abreast(axes[0], shared, "mean cosine within the program", inputs.filled)
    for each, model in zip(axes[1] if both else (), shared.tables, strict=False):
        _against(each, shared.tables[model], rival.tables.get(model, inputs.evidence[:0]), inputs)
        each.set_title(model)
    letters([band[0] for band in axes])
    null_legend(figure, inputs.filled)
    return figure


def _against(axes: Axes, rows: pd.DataFrame, rival: pd.DataFrame, inputs: DrawInputs) -> None:
    """Draw what each program has in features against what it has in components."""
    mine, theirs = (each.set_index("program") for each in (rows, rival))
    common = mine.index.intersection(theirs.index)
    x, y = (each.effect[common] / each.null_sd[common] for each in (theirs, mine))
    passed = inputs.filled.of(mine.loc[common]) if inputs.filled.known(rows) else np.zeros(len(common), bool)
    points_or_density(axes, x[~passed], y[~passed], s=7, color="white", edgecolor=NULL, linewidth=0.6)
    axes.scatter(x[passed], y[passed], s=8, color=SUBJECT, linewidth=0, zorder=3)
    ends = min(x.min(), y.min(), 0) - 0.5, max(x.max(), y.max(), 0) + 0.5
    axes.plot(ends, ends, color="black", linewidth=0.4, linestyle=":")
    axes.set(xlim=ends, ylim=ends, aspect="equal", xlabel="principal components (sd of null)")
    axes.set_ylabel("SAE features (sd of null)")
