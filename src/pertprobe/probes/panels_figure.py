"""The figure of probes of panels: panels as rows that models share, and every unit that the strongest panels rank."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.evidence import used_p
from pertprobe.plots import (
    KNOWN,
    MM,
    NULL,
    SMALL,
    SUBJECT,
    TEXT,
    DrawInputs,
    Drawn,
    Filled,
    Shared,
    bands,
    draw_abreast,
    height_of,
    letters,
    nothing_to_draw,
    null_legend,
    p_words,
    paged,
    pages_said,
    sentences,
    share_rows,
    shortened,
    without_q,
)

PANELS, TWICE, STRIPS = 20, 8, 2
"""Most panels beside their nulls, and where they stand twice; panels whose units are drawn, each in its own band."""
HIGH = 40.0
"""Height in mm of a band of units."""
SHOWN, NAMED = 300, 8
"""Other units up to which each is drawn, of more their density; members up to which they are named."""
BINS = 60
"""Bins of a density."""
OTHERS, OWN = (0.0, 0.3), (1.25, 0.75)
"""Middle and half the height of others and of members in a band: as many names as are shown stand above each other."""


class Words(NamedTuple):
    """What a probe of panels says of its figure."""

    others: str
    """What units outside of a panel are called."""
    inside: str
    """What those of the panel are called."""
    score: str
    """What is on the axis of units."""
    estimate: str
    """What is on the axis of panels."""
    caption: str
    """What the estimate is, in a sentence."""


class Further(NamedTuple):
    """A statistic of the same panels that stands in a band of its own."""

    statistic: str
    label: str
    caption: str


Scores = Callable[[Any], tuple[pd.Series, set[str]]]
"""Given an evidence row, returns the score of every unit, and the names of those inside."""


def draw(
    inputs: DrawInputs, primary: str, scores: Scores, words: Words, further: Further | None = None, control: str = ""
) -> Drawn:
    """Draw each panel beside its null, and the units of the strongest: its own beside all others.

    `control` is a statistic whose p stands beside units: what a panel says that is no better than it says nothing.
    """
    shared = share_rows(inputs.by_model(_by_panel(inputs, primary)), PANELS if further is None else TWICE)
    if not shared.names:
        return nothing_to_draw()
    shown = _strongest(shared)
    beside = {} if further is None else inputs.by_model(_by_panel(inputs, further.statistic))
    asked = _Asked(inputs, scores, words, beside, further, control, shown)
    first, *more = paged(shared, lambda part: _page(asked, part))
    rest = (
        f"; shown for the {len(shown)} panels with the smallest p in any model"
        if len(shared.names) > len(shown)
        else ""
    )
    place = f"evidence/{shared.drawn.probe.iloc[0]}.tsv"
    caption = sentences(
        f"(a) {words.caption}; one column per model",
        shared.said(inputs.filled, words.inside, place).replace("programs", "panels"),
        f"(b) {words.score[0].upper()}{words.score[1:]} of every unit: those of the panel above all others, dotted the "
        f"mean of the null{rest}; of more than {SHOWN} others their density is drawn",
        f"(c) {further.caption}" if further and beside else "",
        pages_said(shared),
    )
    return Drawn(first, caption, tuple(more))


class _Asked(NamedTuple):
    """What every page is drawn of."""

    inputs: DrawInputs
    scores: Scores
    words: Words
    beside: Mapping[str, pd.DataFrame]
    further: Further | None
    control: str
    shown: list[str]


def _by_panel(inputs: DrawInputs, statistic: str) -> pd.DataFrame:
    """Return the rows of a statistic, named by their panels: several may serve one program."""
    rows = inputs.answered(statistic)
    return rows.assign(program=rows.panel)


def _strongest(shared: Shared) -> list[str]:
    """Return the panels with the smallest p in any model, in the order of the rows."""
    drawn = shared.drawn
    best = drawn.assign(used=used_p(drawn)).groupby("program").used.min().reindex(shared.names)
    chosen = set(best.sort_values(kind="stable").index[:STRIPS])
    return [name for name in shared.names if name in chosen]


def _page(asked: _Asked, shared: Shared) -> Figure:
    inputs, columns = asked.inputs, len(shared.tables)
    beside = {model: asked.beside.get(model, inputs.evidence[:0]) for model in shared.tables} if asked.beside else {}
    heights = [height_of(shared), *[HIGH] * len(asked.shown), *([height_of(shared)] if beside else [])]
    figure, axes = bands([columns] * len(heights), heights)
    draw_abreast(axes[0], shared, asked.words.estimate, inputs.filled)
    for band, name in zip(axes[1:], asked.shown, strict=False):
        for each, (model, table) in zip(band, shared.tables.items(), strict=True):
            _strip(each, table[table.program == name], asked)
            each.set_title(model)
        band[0].set_ylabel(shortened(name, 0.5 * HIGH, TEXT))
    if beside:
        draw_abreast(axes[-1], Shared(beside, shared.names), asked.further.label, Filled())
        for each in axes[-1]:
            each.set_xlim(0, 1)
    letters([axes[0][0], axes[1][0], *([axes[-1][0]] if beside else [])])
    null_legend(figure, inputs.filled, further=[without_q()] if beside else [])
    return figure


def _strip(axes: Axes, rows: pd.DataFrame, asked: _Asked) -> None:
    """Draw the scores of a panel in one model, those inside above all others, with the mean of the null."""
    if rows.empty:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not evaluable", transform=axes.transAxes, ha="center")
        return
    row = next(rows.itertuples())
    scores, inside = asked.scores(row)
    mine = scores.index.isin(list(inside))
    others, own = scores[~mine].sort_index(), scores[mine].sort_index()
    _others(axes, others)
    heights = _spread(len(own), OWN)
    axes.scatter(own, heights, s=7, color=SUBJECT, linewidth=0)
    for (name, score), height in zip(own.items(), heights if len(own) <= NAMED else (), strict=False):
        axes.annotate(name, (score, height), (3, 0), textcoords="offset points", fontsize=SMALL, va="center")
    axes.axvline(row.null_mean, color=KNOWN, linewidth=0.6, linestyle=":")
    room = 0.14 * axes.figure.get_size_inches()[0] * MM
    labels = [f"{len(others)} {asked.words.others}", f"{len(own)} {asked.words.inside}"]
    axes.set_yticks([OTHERS[0], OWN[0]], [shortened(label, room, SMALL) for label in labels], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    low, high = scores.min(), scores.max()
    axes.set(
        ylim=(OTHERS[0] - OTHERS[1] - 0.1, sum(OWN) + 0.1), xlim=(low - 0.05 * (high - low), high + 0.25 * (high - low))
    )
    axes.set_xlabel(f"{asked.words.score}\n{_numbers(row, asked)}")


def _spread(n: int, within: tuple[float, float]) -> np.ndarray:
    """Return heights of n points, evenly spread: they keep points and names apart and mean nothing."""
    middle, half = within
    return middle + (np.linspace(half, -half, n) if n > 1 else np.zeros(n))


def _others(axes: Axes, others: pd.Series) -> None:
    """Draw units outside of a panel: as points, or of very many as their density, of one height everywhere."""
    if len(others) <= SHOWN:
        axes.scatter(others, _spread(len(others), OTHERS), s=5, color=NULL, linewidth=0)
        return
    counts, ends = np.histogram(others, BINS)
    height = OTHERS[1] * np.repeat(counts / counts.max(), 2)
    axes.fill_between(np.repeat(ends, 2)[1:-1], -height, height, color=NULL, linewidth=0)


def _numbers(row: Any, asked: _Asked) -> str:
    """Return q of a panel, and p of its control pairs where these are asked."""
    said = [] if row.q != row.q else [f"q {p_words(row.q)}"]
    if asked.control:
        rows = asked.inputs.evidence
        rows = rows[(rows.statistic == asked.control) & (rows.panel == row.panel) & (rows.model == row.model)]
        said += [f"control pairs p {p_words(p)}" for p in used_p(rows).dropna()]
    return ", ".join(said)
