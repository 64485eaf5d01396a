"""The figure of knockout: how alike a gene's knock-out is in two contexts, and programs beside their nulls."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.plots import (
    ABREAST,
    SMALL,
    TEXT,
    DrawInputs,
    Drawn,
    Filled,
    Shared,
    bands,
    coherent,
    draw_abreast,
    height_of,
    histograms,
    letters,
    name_of_pair,
    nothing_to_draw,
    null_legend,
    row_words,
    sentences,
    share_rows,
    without_q,
)
from pertprobe.probes.base import averaged
from pertprobe.probes.knockout_questions import AGREEMENT, ALL_GENES, correlations, shared

PROGRAMS = 10
"""Most programs of a band of rows."""
PAIRS = 2
"""Pairs of a page, each with a distribution and a map."""
TOP = 50.0
"""Height in mm of distributions and maps."""
MAPPED = 250
"""Genes of a map up to which all are drawn: of more, evenly many of their order."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw knock-outs of the same gene in two contexts, and each program's agreement and coherence."""
    rows = inputs.evidence[inputs.evidence.statistic == ALL_GENES]
    kept = rows[rows.estimate.notna()]  # drawn also where a shared initialisation leaves the verdict open
    agreement, coherence = share_rows(_by_pair(inputs, kept), PROGRAMS), coherent(inputs, PROGRAMS)
    if kept.empty and not coherence.names:
        return nothing_to_draw()
    starts, models = range(0, max(len(kept), 1), PAIRS), list(coherence.tables)
    parts = [(kept.iloc[start : start + PAIRS], models[2 * start : 2 * start + ABREAST]) for start in starts]
    first, *further = (
        _page(inputs, pairs, agreement, coherence._replace(tables={name: coherence.tables[name] for name in names}))
        for pairs, names in parts
    )
    return Drawn(first, _caption(inputs, kept, agreement, coherence, len(parts)), tuple(further))


def _by_pair(inputs: DrawInputs, kept: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what programs agree, by the name of the pair, of pairs that are drawn."""
    asked = inputs.answered(AGREEMENT)
    return {
        name_of_pair(row): asked[(asked.model == row.model) & (asked.reference == row.reference)]
        for row in kept.itertuples()
    }


def _caption(inputs: DrawInputs, kept: pd.DataFrame, agreement: Shared, coherence: Shared, pages: int) -> str:
    line = "; the line is what the mean of a program must exceed" if _limit(inputs) == _limit(inputs) else ""
    unit, place = "genes", "evidence/knockout.tsv"
    parts = [
        "Spearman's r of the profile of a gene's knock-out in one context with that of the same gene, and of different "
        f"genes, in the other{line}; below, what is tested: how much more a gene agrees with itself",
        "The same r of every gene in one context with every gene in the other, alike ones side by side (average "
        f"linkage of 1 - r); of more than {MAPPED} genes evenly many of that order; agreement of the same gene is the "
        "diagonal",
    ] if len(kept) else []  # fmt: skip
    if agreement.tables:
        said = agreement.said(inputs.filled, unit, place)
        parts += [
            f"By how much genes of a program agree with themselves more than with others of their expression. {said}"
        ]
    if coherence.tables:
        said = coherence.said(Filled(), unit, place)
        parts += [f"Mean cosine of the knock-outs of a program's genes in one model, which no verdict reads. {said}"]
    lettered = (f"({letter}) {part}" for letter, part in zip(ascii_lowercase, parts, strict=False))
    return sentences(*lettered, f"{pages - 1} further pages of the PDF show further pairs" if pages > 1 else "")


def _limit(inputs: DrawInputs) -> float:
    """Return what the config asks the mean r of a program to exceed; nan where it asks nothing."""
    limits = [number for column, sign, number in inputs.thresholds if column == "estimate_published" and sign[0] == ">"]
    return limits[0] if limits else np.nan


def _page(inputs: DrawInputs, kept: pd.DataFrame, agreement: Shared, coherence: Shared) -> Figure:
    names = [name_of_pair(row) for row in kept.itertuples()]
    mine = agreement._replace(tables={name: agreement.tables[name] for name in names if name in agreement.tables})
    labelled = (mine, "r less that of others"), (coherence, "mean cosine within the program")
    rows = [(each, label) for each, label in labelled if each.tables]
    counts = [*([2 * len(kept)] if len(kept) else []), *(len(each.tables) for each, _ in rows)]
    heights = [*([TOP] if len(kept) else []), *(height_of(each) for each, _ in rows)]
    figure, axes = bands(counts, heights)
    top = axes.pop(0) if len(kept) else []
    for place, row in enumerate(kept.itertuples()):
        _pair(top[2 * place : 2 * place + 2], inputs, row)
    for band, (each, label) in zip(axes, rows, strict=True):
        draw_abreast(band, each, label, inputs.filled if each is mine else Filled())
    letters([*top[:2], *(band[0] for band in axes)])
    grey = [without_q()] if mine.tables and coherence.tables else []
    null_legend(figure, inputs.filled if mine.tables else Filled(), further=grey)
    return figure


def _pair(axes: Sequence[Axes], inputs: DrawInputs, row: Any) -> None:
    """Draw the distribution and the map of one pair."""
    ours, theirs = shared(*(averaged(inputs.measurements[name], "shift") for name in (row.model, row.reference)))
    r = correlations(ours, theirs)
    _distribution(axes[0], r, row, _limit(inputs))
    order = clustered(r)
    shown = order[np.linspace(0, len(order) - 1, min(len(order), MAPPED)).round().astype(int)]
    image = axes[1].imshow(r[np.ix_(shown, shown)], cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes[1].set(xticks=[], yticks=[], ylabel=f"genes, {row.model}", xlabel=f"genes, {row.reference}")
    axes[1].set_title(f"{len(shown)} of {len(order)} genes" if len(shown) < len(order) else f"{len(order)} genes")
    bar = axes[1].figure.colorbar(image, ax=axes[1], shrink=0.6, aspect=12, pad=0.02)
    bar.set_label("Spearman's r", fontsize=TEXT)
    bar.outline.set_linewidth(0.4)


def clustered(r: np.ndarray) -> np.ndarray:
    """Return the order [n] in which alike rows of r [n, n] stand together: leaves of average linkage of 1 - r."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(r) < 3:
        return np.arange(len(r))
    distance = 1 - np.nan_to_num((r + r.T) / 2)
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average"))


def _distribution(axes: Axes, r: np.ndarray, row: Any, limit: float) -> None:
    same = np.eye(len(r), dtype=bool)
    own, other = (each[~np.isnan(each)] for each in (r[same], r[~same]))
    labels = f"different genes (mean {other.mean():z.2f})", f"same gene (mean {own.mean():z.2f})"
    bins = np.linspace(min(-0.2, own.min(), other.min()), 1, 41)
    values: Mapping[str, np.ndarray] = dict(zip(labels, (other, own), strict=True))
    histograms(axes, values, bins, (0.7, 0.7), density=True)
    if limit == limit:
        axes.axvline(limit, color="black", linewidth=0.6, linestyle=":")
        place = limit, 0.66 * axes.get_ylim()[1]
        axes.annotate(f"pass: mean > {limit:g}", place, (2, 0), textcoords="offset points", fontsize=SMALL)
    axes.legend(loc="upper left", fontsize=SMALL, title=f"n = {len(own)}", title_fontsize=SMALL)
    said = "" if row.evaluable else f"\nnot evaluable: {row.reason}"
    label = f"Spearman's r between contexts\ndifference {row_words(row)}{said}"
    axes.set(ylabel="density", title=name_of_pair(row), xlabel=label)
