"""Every model beside its controls: untrained copies, planted models, those of known kind, what data alone answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from pertprobe.batching import chunked
from pertprobe.evidence import comparable
from pertprobe.plots import (
    BAD,
    GOOD,
    HIGHEST,
    NULL,
    RIVAL,
    SUBJECT,
    TEXT,
    Drawn,
    foot,
    letters,
    name_of_pair,
    nothing_to_draw,
    panels,
    sentences,
    shortened,
)
from pertprobe.probes.declaration import Declaration
from pertprobe.stages.testing import stages_redrawn

COLUMNS = 3
"""Panels side by side."""
MOST = 20
"""Programs shown in a panel: those with the largest effects."""
ROW, HEAD, FOOT, NAMES = 3.1, 19.0, 16.0, 20.0
"""Heights in mm: of a row, of what stands above and below the rows of a panel, of the legend; width of names."""
CURVE = 46.0
"""Height in mm of a panel of the cascade."""
MARKS = {
    "redrawn": {"marker": "|", "color": NULL, "label": "re-drawn copies"},
    "shuffled": {"marker": "x", "color": NULL, "label": "shuffled copies"},
    "observed": {"marker": "s", "facecolor": "none", "edgecolor": "black", "label": "observed responses"},
    "coexpression": {"marker": "v", "facecolor": "none", "edgecolor": RIVAL, "label": "co-expression"},
    "covariation": {"marker": "v", "color": RIVAL, "label": "co-variation model"},
    "covariation_pca": {"marker": "<", "color": RIVAL, "label": "principal components"},
    "covariation_autoencoder": {"marker": ">", "color": RIVAL, "label": "autoencoder"},
    "network": {"marker": "*", "color": GOOD, "label": "linear network"},
    "lookup": {"marker": "P", "color": BAD, "label": "lookup model"},
    "planted": {"marker": "D", "color": GOOD, "label": "planted mechanism"},
    "subject": {"marker": "o", "color": SUBJECT, "label": "the model (hollow: not evaluable)"},
}
"""Role -> how it is drawn, in the order of drawing: the model last, on top."""
ASIDE = {"lookup": 0.3, "covariation": -0.3}
"""Roles drawn a little above or below their line: they share their codes, and so their place, with the mechanism."""
TICKS = (-30, -10, -4, -2, 0, 2, 4, 10, 30, 100, 300)
CASCADE_WORDS = {
    "trained": "trained",
    "decode": "+ decoder",
    "mix": "+ backbone",
    "encode_cells": "+ cell encoder",
    "encode_perturbations": "+ pert. encoder",
}
"""Stages of a cascade in the order in which they are re-drawn -> words."""


class Column(NamedTuple):
    """One probe on one model or pair."""

    probe: str
    name: str
    rows: pd.DataFrame
    """Rows with numbers, their effect as it is compared as z."""
    programs: int
    """How many programs have numbers; those with the largest effects are in `rows`."""


def controls_figure(tables: pd.DataFrame, probes: Mapping[str, Declaration], models: Sequence[str]) -> Drawn:
    """Draw, program by program, the model's effect beside those of its controls.

    What does not fit one page: medians of programs by probe and model first, then panels on further pages.
    """
    found = list(_columns(tables, probes, models))
    if not found:
        return nothing_to_draw()
    units = {probe: _unit(probes[probe]) for probe in {column.probe for column in found}}
    pages = list(_pages(found))
    figures = [_panels(each, units) for each in pages]
    if len(pages) > 1:
        figures = [*_overviews(found, units), *figures]
    return Drawn(figures[0], _controls_caption(found, len(pages) > 1), tuple(figures[1:]))


def cascade_figure(tables: pd.DataFrame, probes: Mapping[str, Declaration], models: Sequence[str]) -> Drawn:
    """Draw how each program's effect changes as stages are re-drawn from the output down."""
    found = [column for column in _cascades(tables, probes, models) if column.rows.stage.nunique() > 1]
    if not found:
        why = "No stage was re-drawn by itself: controls.cascade is off, or models have no stages."
        return nothing_to_draw(why)
    pages = chunked(found, COLUMNS * int((HIGHEST - FOOT) / CURVE))
    figures = [_curves(each, {column.probe: _unit(probes[column.probe]) for column in each}) for each in pages]
    caption = sentences(
        "Effects as stages of the model are re-drawn one after the other, from the output down to untrained weights",
        "Thin lines: programs, the largest effects of each model; thick: their median. In brackets: number of programs",
        f"{len(figures) - 1} further pages stand in the PDF" if len(figures) > 1 else "",
    )
    return Drawn(figures[0], caption, tuple(figures[1:]))


def _controls_caption(found: Sequence[Column], many: bool) -> str:
    largest = max(column.programs for column in found)
    left = f"Drawn are the {MOST} programs with the largest effects, of up to {largest}; all stand in evidence/."
    return sentences(
        "Each model beside its controls: effects in standard deviations of their own null, or on the statistic's own "
        "scale where the axis says so",
        "First page: medians of programs, lines from the smallest to the largest effect of the model; "
        "panels of single programs stand on the further pages of the PDF"
        if many
        else "",
        "0 is the mean of the null; the model's mark is hollow where the question was not evaluable",
        left if largest > MOST else "",
    )


def _pages(found: Sequence[Column]) -> Iterator[list[Column]]:
    """Yield the columns of each page: rows of panels until the page is full."""
    page: list[Column] = []
    used = 0.0
    for row in chunked(found, COLUMNS):
        height = _height(row)
        if page and used + height > HIGHEST - FOOT:
            yield page
            page, used = [], 0.0
        page, used = [*page, *row], used + height
    yield page


def _height(row: Sequence[Column]) -> float:
    """Return the height in mm of a row of panels."""
    return HEAD + ROW * max(column.rows.program.nunique() for column in row)


def _panels(found: Sequence[Column], units: Mapping[str, str]) -> Figure:
    """Draw a panel for each probe on a model or pair."""
    figure, axes = panels(len(found), 60, [_height(row) for row in chunked(found, COLUMNS)], COLUMNS)
    for each, column in zip(axes, found, strict=True):
        _beside_controls(each, column, units[column.probe])
    letters(axes)
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    foot(figure, [_handle(**mark) for mark in reversed(MARKS.values())], ncols=5)


def _overviews(found: Sequence[Column], units: Mapping[str, str]) -> list[Figure]:
    """Draw medians over programs, a row for each probe and name, on as many pages as it takes."""
    by_unit = [[column for column in found if units[column.probe] == unit] for unit in sorted(set(units.values()))]
    most = int((HIGHEST - FOOT - HEAD) / 2.7)
    lines = [chunked(list(_lines(columns)), most) for columns in by_unit]
    figures = []
    for place in range(max(map(len, lines))):
        here = [(unit, each[place]) for unit, each in zip(sorted(set(units.values())), lines, strict=True)
                if place < len(each)]  # fmt: skip
        figure, axes = panels(len(here), 89, HEAD + 2.7 * max(len(each) for _, each in here), len(here))
        for each, (unit, mine) in zip(axes, here, strict=True):
            _medians(each, mine, unit)
            each.set_ylim(max(len(lines) for _, lines in here) - 0.4, -0.6)
        letters(axes)
        _legend(figure)
        figures.append(figure)
    return figures


def _lines(columns: Sequence[Column]) -> Iterator[Column | str]:
    """Yield the name of each probe, then its models and pairs."""
    for probe in dict.fromkeys(column.probe for column in columns):
        yield probe
        yield from (column for column in columns if column.probe == probe)


def _medians(axes: Axes, lines: Sequence[Column | str], unit: str) -> None:
    """Draw the median effect of each role, and from the smallest to the largest effect of the model."""
    every: list[pd.Series] = [pd.Series([0.0])]
    for y, line in enumerate(lines):
        if isinstance(line, str):
            continue
        medians = line.rows.groupby("role").z.median()
        own = line.rows[line.rows.role == "subject"].z
        axes.hlines(y, own.min(), own.max(), color=SUBJECT, linewidth=0.6, alpha=0.5)
        for role, mark in MARKS.items():
            if role in medians:
                axes.scatter(medians[role], y, s=9, linewidth=0.6, zorder=3, **_style(mark))
        every += [medians, own]
    labels = [
        line if isinstance(line, str) else f"{shortened(line.name, 26, TEXT)} ({line.programs})" for line in lines
    ]
    axes.set_yticks(range(len(lines)), labels)
    for text, line in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if isinstance(line, str) else "normal")
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color="black", linewidth=0.4)
    if pd.concat(every).abs().max() > 2:
        _signed_axis(axes, pd.concat(every))
    axes.set_xlabel(f"{unit}: median of programs")


def _style(mark: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in mark.items() if key != "label"}


def _handle(
    marker: str, label: str, color: str | None = None, facecolor: str | None = None, edgecolor: str | None = None
) -> Line2D:
    """Return the entry of a mark in the legend; a mark of one colour has no other for its face and edge."""
    colours = {"markerfacecolor": facecolor or color, "markeredgecolor": edgecolor or color}
    return Line2D([], [], linestyle="", marker=marker, label=label, markersize=3.5, **colours)


def _unit(probe: Declaration) -> str:
    """Return the unit in which a probe is compared with its controls, in words."""
    return "effect, on its own scale" if probe.compared_in in probe.common_scale else "effect in sd of its own null"


def _columns(tables: pd.DataFrame, probes: Mapping[str, Declaration], models: Sequence[str]) -> Iterator[Column]:
    """Yield probes and models in the order of the config, each with the rows to draw."""
    for probe, mine in _measured(tables, probes):
        compared = mine.statistic == probes[probe].compared_in
        compared |= mine.role.isin(["observed", "coexpression"]) & (mine.statistic == probes[probe].primary)
        yield from _by_model(probe, mine[compared & mine.role.isin(MARKS)], models)


def _cascades(tables: pd.DataFrame, probes: Mapping[str, Declaration], models: Sequence[str]) -> Iterator[Column]:
    for probe, mine in _measured(tables, probes):
        start = probes[probe].compared_in
        stages = [stages_redrawn(name, start) for name in mine.statistic]
        trained = (mine.statistic == start) & (mine.role == "subject")
        kept = mine.assign(stage=np.where(trained, "trained", stages))
        yield from _by_model(probe, kept[kept.stage.isin(CASCADE_WORDS)], models)


def _measured(tables: pd.DataFrame, probes: Mapping[str, Declaration]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each probe with its rows that have numbers, whether or not the question could be answered."""
    table = tables[(tables.adjustment == "centred") & (tables.program != "")]
    for probe in dict.fromkeys(table.probe):
        mine = table[table.probe == probe]
        mine = mine.assign(z=comparable(mine, probes[probe].common_scale), name=mine.apply(name_of_pair, axis=1))
        yield probe, mine[np.isfinite(mine.z)]


def _by_model(probe: str, rows: pd.DataFrame, models: Sequence[str]) -> Iterator[Column]:
    subjects = rows[rows.role == "subject"]
    for model in models:
        for name in subjects[subjects.model == model].name.unique():
            effects = subjects[subjects.name == name].groupby("program").z.max()
            largest = effects.nlargest(MOST).index
            yield Column(probe, name, rows[(rows.name == name) & rows.program.isin(largest)], len(effects))


def _beside_controls(axes: Axes, column: Column, label: str) -> None:
    rows = column.rows
    order = rows[rows.role == "subject"].groupby("program").z.max().sort_values(kind="stable").index
    places = {program: place for place, program in enumerate(order)}
    for role, mark in MARKS.items():
        mine = rows[rows.role == role]
        style = _style(mark)
        if role == "subject":
            style |= {"color": np.where(mine.evaluable, SUBJECT, "white"), "edgecolor": SUBJECT}
        heights = mine.program.map(places) + ASIDE.get(role, 0.0)
        size = 11 if role in ("subject", "planted") else 8
        axes.scatter(mine.z, heights, s=size, linewidth=0.7, zorder=2 + (role == "subject"), clip_on=False, **style)
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set_yticks(range(len(order)), [shortened(name, NAMES, TEXT) for name in order])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#eef1f4", linewidth=0.5, zorder=0)
    if rows.z.abs().max() > 2:  # correlations need no such scale
        _signed_axis(axes, rows.z)
    of = f" ({len(order)} of {column.programs})" if column.programs > len(order) else ""
    axes.set(ylim=(-0.7, len(order) - 0.3), xlabel=f"{label}{of}", title=f"{column.probe}\n{column.name}")


def _signed_axis(axes: Axes, z: pd.Series) -> None:
    """Scale linearly to 4 and logarithmically beyond: planted effects can be many times larger than all others."""
    axes.set_xscale("symlog", linthresh=4, linscale=2)
    low, high = min(z.min() * 1.1, -1.0), max(z.max() * 1.1, 4.0)
    axes.set_xlim(low, high)
    shown = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def _curves(found: Sequence[Column], units: Mapping[str, str]) -> Figure:
    """Draw a panel of curves for each probe on a model or pair."""
    figure, axes = panels(len(found), 60, CURVE, COLUMNS)
    for each, column in zip(axes, found, strict=True):
        _curve(each, column, units[column.probe])
    letters(axes)
    one = Line2D([], [], color=SUBJECT, alpha=0.35, label="a program")
    median = Line2D([], [], color="black", linewidth=1.4, label="median of programs")
    foot(figure, [one, median], ["In brackets: number of programs. 0: the mean of the null."])
    return figure


def _curve(axes: Axes, column: Column, label: str) -> None:
    stages = [stage for stage in CASCADE_WORDS if stage in set(column.rows.stage)]
    wide = column.rows.pivot_table(index="stage", columns="program", values="z").reindex(stages)
    axes.plot(range(len(stages)), wide.to_numpy(), color=SUBJECT, alpha=0.35, linewidth=0.6)
    axes.plot(range(len(stages)), wide.median(axis=1), color="black", linewidth=1.4)
    axes.axhline(0, color="black", linewidth=0.4)
    axes.set_xticks(range(len(stages)), [CASCADE_WORDS[stage] for stage in stages], rotation=30, ha="right")
    axes.set(ylabel=label, title=f"{column.probe}\n{column.name} ({wide.shape[1]})")
