"""The figure of routing_coherence: programs beside their nulls, routes against answers, components of the routes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.plots import (
    BAND,
    MM,
    NULL,
    SMALL,
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
    p_words,
    paged,
    pages_said,
    row_words,
    sentences,
    shortened,
    text_width,
)

PROGRAMS = 15
"""Most programs of a page."""
CURVE, SHARES = 42.0, 40.0
"""Heights in mm of the two lower bands."""
WIDEST = 2.6
"""Width of the panel of components over its longest bar: names stand beside."""
WORDS = {"raw": "as published, raw", "centred": "what all share removed"}
"""Adjustment -> what it is called in the legend."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's coherence beside its null, routes against answers by decile, and the components' shares."""
    shared = coherent(inputs, PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    first, *further = paged(shared, lambda part: _page(inputs, part))
    caption = sentences(
        "(a) Mean cosine of the routes (derivatives of the mean output by the perturbation code) of a program's "
        "members, what all share removed; one column per model",
        shared.said(inputs.filled, "perturbations", "evidence/routing_coherence.tsv"),
        "(b) Routes against answers: mean cosine of routes in each tenth of the pairs of perturbations, by the cosine "
        "of their answers (delta_y); r is Pearson's over pairs, ± its standard error over cell sets; below, what is "
        "tested: r, its 95 % interval, its null with strength held, p",
        f"(c) Components of the routes: their share of the sum of squares, and the program whose members a component "
        f"moves most, where q < {_bound(inputs):g} over all programs and components of the model",
        "Like routes to like answers are found in a mechanism and in a memorised answer: this shows no mechanism",
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _bound(inputs: DrawInputs) -> float:
    """Return the q below which a component is named: the config's, or 0.05 where it has none."""
    return inputs.filled.bound if inputs.filled.column == "q" else 0.05


def _page(inputs: DrawInputs, shared: Shared) -> Figure:
    columns = len(shared.tables)
    figure, axes = bands([columns] * 3, [height_of(shared), CURVE, SHARES])
    draw_abreast(axes[0], shared, "mean cosine within the program", inputs.filled)
    asked = inputs.answered("correlation")
    for place, model in enumerate(shared.tables):
        mine = {name: table[table.model == model] for name, table in inputs.tables.items()}
        tested = asked[(asked.model == model) & (asked.adjustment == "centred")]
        _curve(axes[1][place], mine["deciles"], mine["summary"], tested)
        _shares(axes[2][place], mine["components"], _bound(inputs))
        for band in axes[1:]:
            band[place].set_title(model)
    letters([band[0] for band in axes])
    null_legend(figure, inputs.filled)
    return figure


def _curve(axes: Axes, deciles: pd.DataFrame, summary: pd.DataFrame, tested: pd.DataFrame) -> None:
    """Draw the decile curve of raw and of centred similarities, with r and its standard error from cell sets."""
    for adjustment, colour, shape in (("raw", NULL, "s"), ("centred", SUBJECT, "o")):
        curve, said = (table[table.adjustment == adjustment] for table in (deciles, summary))
        if said.empty:
            continue
        r, error = said.iloc[0][["pearson", "pearson_se"]]
        label = f"{WORDS[adjustment]}: r {r:z.2f}" + (f" ± {error:.3f}" if error == error else "")
        style = {"color": colour, "marker": shape, "markersize": 2.5, "linewidth": 0.8, "label": label}
        axes.plot(curve.delta_y_similarity, curve.routing_similarity, **style)
    below = "".join(f"\ntested: {row_words(row)}" for _, row in tested.head(1).iterrows())
    axes.set(xlabel=f"cosine of answers, tenths of the pairs{below}", ylabel="cosine of routes")
    axes.set_ylim(top=axes.get_ylim()[1] + 0.35 * np.ptp(axes.get_ylim()))
    axes.legend(loc="upper left", fontsize=SMALL)


def _shares(axes: Axes, components: pd.DataFrame, bound: float) -> None:
    """Draw the share of each component as a bar, named by the program whose members it moves most."""
    each = components.drop_duplicates("component")
    axes.barh(each.component, each.share, height=0.7, color=NULL)
    most = float(each.share.max()) if len(each) else 1.0
    named = components[components.q < bound].sort_values(["q", "p", "program"]).drop_duplicates("component")
    across = 0.8 * axes.figure.get_size_inches()[0] * MM / axes.get_subplotspec().get_gridspec().ncols
    for row in named.itertuples():
        end = f", q {p_words(row.q)}"
        room = across * (1 - row.share / (WIDEST * most) - 0.03) - text_width(end, SMALL)
        text = shortened(row.program, room, SMALL) + end
        axes.text(row.share + 0.03 * most, row.component, text, fontsize=SMALL, va="center")
    axes.axvline(0, color=BAND, linewidth=0.4)
    axes.set(xlim=(0, WIDEST * most), xlabel="share of the sum of squares", ylabel="component")
    axes.set_yticks(each.component[::3] if len(each) > 6 else each.component)
    axes.invert_yaxis()
