"""The figure of output_clustering: programs beside their nulls, where they lie on a map, and in which clusters."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pertprobe.plots import (
    BAD,
    BAND,
    GOOD,
    NULL,
    RIVAL,
    SMALL,
    SUBJECT,
    TEXT,
    DrawInputs,
    Drawn,
    Filled,
    Shared,
    bands,
    coherent,
    draw_abreast,
    foot,
    height_of,
    letters,
    names_room,
    nothing_to_draw,
    null_handles,
    paged,
    pages_said,
    scatter,
    sentences,
    shortened,
)

PROGRAMS = 12
"""Most programs of a page."""
SHAPES = (("o", SUBJECT), ("^", BAD), ("s", GOOD), ("D", RIVAL))
"""Shape and colour of the programs that stand out on the map, in their order."""
MAP, LINE = 42.0, 2.9
"""Heights in mm: of the map, and of a row of the clusters."""
LOWEST = 1e-6
"""p below which colours do not change."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw each program's coherence beside its null, a map of the perturbations, and the clusters of each program."""
    shared = coherent(inputs, PROGRAMS)
    if not shared.names:
        return nothing_to_draw()
    mapped = bool(inputs.tables["clusters"].umap_1.notna().any())
    first, *further = paged(shared, lambda part: _page(inputs, part, mapped))
    caption = sentences(
        "(a) Mean cosine of the responses (delta_y) of a program's members, the mean response removed; one column per "
        "model",
        shared.said(inputs.filled, "perturbations", "evidence/output_clustering.tsv"),
        "(b) UMAP of the same responses by cosine: grey all perturbations, in colours the members of the first "
        "programs of (a); numbers stand in the middle of clusters, as far as there is room, 0 is the largest; "
        "distances on such a map are no evidence"
        if mapped
        else "",
        _said_of_clusters(inputs.filled, "c" if mapped else "b"),
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(further))


def _said_of_clusters(filled: Filled, letter: str) -> str:
    bound = f"; ringed where q < {filled.bound:g} over programs and clusters" if filled.column == "q" else ""
    return (
        f"({letter}) Clusters of responses (Ward), the largest first: the larger a dot, the larger the share of the "
        f"program's members in that cluster; the darker, the smaller the hypergeometric p of so many{bound}"
    )


def _page(inputs: DrawInputs, shared: Shared, mapped: bool) -> Figure:
    columns, rows = len(shared.tables), len(shared.names)
    heights = [height_of(shared), *([MAP] if mapped else []), 12 + LINE * max(rows, 3)]
    figure, axes = bands([columns] * len(heights), heights)
    draw_abreast(axes[0], shared, "mean cosine within the program", inputs.filled)
    places, spread = inputs.tables["clusters"], inputs.tables["enrichment"]
    spread = spread[spread.adjustment == "centred"]
    for place, model in enumerate(shared.tables):
        if mapped:
            _map(axes[1][place], places[places.model == model], inputs.programs, shared.names)
            axes[1][place].set_title(model)
        image = _clusters(axes[-1][place], spread[spread.model == model], shared.names, inputs.filled)
        axes[-1][place].set_title(model)
    names = [shortened(name, names_room(figure), TEXT) for name in shared.names]
    axes[-1][0].set_yticks(range(rows), names)
    bar = figure.colorbar(image, ax=axes[-1], location="right", shrink=0.7, aspect=12, pad=0.01)
    bar.set_label("-log10 p", fontsize=TEXT)
    bar.outline.set_linewidth(0.4)
    letters([band[0] for band in axes])
    foot(figure, [*null_handles(inputs.filled), *(_shapes(shared.names) if mapped else []), *_sizes()])
    return figure


def _map(axes: Axes, places: pd.DataFrame, programs: Mapping[str, Sequence[str]], names: Sequence[str]) -> None:
    """Draw all perturbations in grey, members of the first programs in colours, clusters by their numbers."""
    scatter(axes, places.umap_1, places.umap_2, s=4 if len(places) < 500 else 1.5, color=NULL, alpha=0.6)
    middles = places.groupby("cluster")[["umap_1", "umap_2"]].median()
    for cluster, (x, y) in middles[apart(middles.to_numpy())].iterrows():
        axes.text(x, y, str(cluster), ha="center", va="center", fontsize=SMALL)
    for (shape, colour), name in zip(SHAPES, names, strict=False):
        mine = places[places.perturbation.isin(list(programs[name]))]
        axes.scatter(mine.umap_1, mine.umap_2, s=9, marker=shape, color=colour, linewidth=0.3, edgecolor="white")
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")


def apart(places: np.ndarray, share: float = 0.09) -> np.ndarray:
    """Return which places [n, 2] have no earlier one nearer than a share of the whole map on both axes, bool [n]."""
    least, kept = share * np.ptp(places, axis=0), np.zeros(len(places), dtype=bool)
    for i, place in enumerate(places):
        kept[i] = not (np.abs(places[:i][kept[:i]] - place) < least).all(axis=1).any()
    return kept


def _clusters(axes: Axes, spread: pd.DataFrame, names: Sequence[str], filled: Filled) -> "object":
    """Draw program x cluster as dots: share of members by size, p by colour, q by a ring; return what is coloured."""
    shown = spread[spread.program.isin(list(names)) & (spread.members > 0)]
    y = shown.program.map({name: place for place, name in enumerate(names)})
    share = shown.members / shown.groupby("program").members.transform("sum")
    clusters = int(spread.cluster.max()) + 1 if len(spread) else 1
    largest = min(28.0, 3000 / clusters**1.6)
    ringed = (shown.q < filled.bound) if filled.column == "q" else np.zeros(len(shown), bool)
    dots = axes.scatter(
        shown.cluster, y, s=largest * share, c=-np.log10(shown.p.astype(float).clip(LOWEST)), cmap="PuBu", vmin=0,
        vmax=-np.log10(LOWEST), linewidth=np.where(ringed, 0.8, 0.2), edgecolor=np.where(ringed, "black", "#8a949e"),
    )  # fmt: skip
    for line in range(len(names)):
        axes.axhline(line, color=BAND, linewidth=0.4, zorder=0)
    step = 1 + clusters // 10
    axes.set_xticks(range(0, clusters, step))
    axes.set_yticks(range(len(names)), [""] * len(names))
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(-0.7, clusters - 0.3), ylim=(len(names) - 0.4, -0.6), xlabel="cluster, the largest first")
    return dots


def _shapes(names: Sequence[str]) -> list[Line2D]:
    """Return entries of the legend: the programs that stand out on the map."""
    style = {"linestyle": "", "markersize": 3.5}
    return [
        Line2D([], [], marker=shape, color=colour, label=shortened(name, 55, TEXT), **style)
        for (shape, colour), name in zip(SHAPES, names, strict=False)
    ]


def _sizes() -> list[Line2D]:
    """Return the entry of the legend that says what the size of a dot is."""
    style = {"marker": "o", "linestyle": "", "markerfacecolor": "white", "markeredgecolor": "black"}
    return [Line2D([], [], markersize=4, label="ringed: enriched; size: share of members", **style)]
