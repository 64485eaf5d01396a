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
from pertprobe.plots import NOTHING_TESTED, NULL, SUBJECT, name_of_pair, nothing_to_draw, panels
from pertprobe.probes.declaration import Declaration
from pertprobe.stages.testing import stages_redrawn

COLUMNS = 3
"""Panels side by side."""
MOST = 20
"""Programs shown in a panel: those with the largest effects."""
MARKS = {
    "redrawn": {"marker": "|", "color": NULL, "label": "re-drawn copies"},
    "shuffled": {"marker": "x", "color": NULL, "label": "shuffled copies"},
    "observed": {"marker": "s", "facecolor": "none", "edgecolor": "black", "label": "observed responses"},
    "coexpression": {"marker": "v", "facecolor": "none", "edgecolor": "#8d5a97", "label": "co-expression"},
    "covariation": {"marker": "v", "color": "#8d5a97", "label": "co-variation model"},
    "covariation_pca": {"marker": "<", "color": "#8d5a97", "label": "principal components"},
    "covariation_autoencoder": {"marker": ">", "color": "#8d5a97", "label": "autoencoder"},
    "network": {"marker": "*", "color": "#1b7f5c", "label": "linear network"},
    "lookup": {"marker": "P", "color": "#c8553d", "label": "lookup model"},
    "planted": {"marker": "D", "color": "#1b7f5c", "label": "planted mechanism"},
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


def controls_figure(tables: pd.DataFrame, probes: Mapping[str, Declaration], models: Sequence[str]) -> Figure:
    """Draw, program by program, the model's effect beside those of its controls."""
    found = list(_columns(tables, probes, models))
    if not found:
        return nothing_to_draw(NOTHING_TESTED)
    drawn = [min(column.rows.program.nunique(), MOST) for column in found]
    heights = [18 + 3.1 * max(row) for row in chunked(drawn, COLUMNS)]
    figure, axes = panels(len(found), 60, heights, COLUMNS)
    for each, column in zip(axes, found, strict=True):
        _beside_controls(each, column, _unit(probes[column.probe]))
    figure.legend(handles=[_handle(**mark) for mark in reversed(MARKS.values())], loc="outside lower center", ncols=4)
    return figure


def cascade_figure(tables: pd.DataFrame, probes: Mapping[str, Declaration], models: Sequence[str]) -> Figure:
    """Draw how each program's effect changes as stages are re-drawn from the output down."""
    found = [column for column in _cascades(tables, probes, models) if column.rows.stage.nunique() > 1]
    if not found:
        return nothing_to_draw("No stage was re-drawn by itself: controls.cascade is off, or models have no stages.")
    figure, axes = panels(len(found), 60, 45)
    for each, column in zip(axes, found, strict=True):
        _curve(each, column, _unit(probes[column.probe]))
    return figure


def _handle(
    marker: str, label: str, color: str | None = None, facecolor: str | None = None, edgecolor: str | None = None
) -> Line2D:
    """Return the entry of a mark in the legend; a mark of one colour has no other for its face and edge."""
    colours = {"markerfacecolor": facecolor or color, "markeredgecolor": edgecolor or color}
    return Line2D([], [], linestyle="", marker=marker, label=label, **colours)


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
            largest = subjects[subjects.name == name].groupby("program").z.max().nlargest(MOST).index
            yield Column(probe, name, rows[(rows.name == name) & rows.program.isin(largest)])


def _beside_controls(axes: Axes, column: Column, label: str) -> None:
    rows = column.rows
    order = rows[rows.role == "subject"].groupby("program").z.max().sort_values(kind="stable").index
    places = {program: place for place, program in enumerate(order)}
    for role, mark in MARKS.items():
        mine = rows[rows.role == role]
        style = {key: value for key, value in mark.items() if key != "label"}
        if role == "subject":
            style |= {"color": np.where(mine.evaluable, SUBJECT, "white"), "edgecolor": SUBJECT}
        heights = mine.program.map(places) + ASIDE.get(role, 0.0)
        size = 34 if role in ("subject", "planted") else 22
        axes.scatter(mine.z, heights, s=size, linewidth=0.9, zorder=2 + (role == "subject"), clip_on=False, **style)
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set_yticks(range(len(order)), order)
    axes.grid(axis="y", color="#eef1f4", linewidth=0.6, zorder=0)
    if rows.z.abs().max() > 2:  # correlations need no such scale
        _signed_axis(axes, rows.z)
    axes.set(ylim=(-0.7, len(order) - 0.3), xlabel=label, title=f"{column.probe}\n{column.name}")


def _signed_axis(axes: Axes, z: pd.Series) -> None:
    """Scale linearly to 4 and logarithmically beyond: planted effects can be many times larger than all others."""
    axes.set_xscale("symlog", linthresh=4, linscale=2)
    low, high = min(z.min() * 1.1, -1.0), max(z.max() * 1.1, 4.0)
    axes.set_xlim(low, high)
    shown = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def _curve(axes: Axes, column: Column, label: str) -> None:
    stages = [stage for stage in CASCADE_WORDS if stage in set(column.rows.stage)]
    wide = column.rows.pivot_table(index="stage", columns="program", values="z").reindex(stages)
    axes.plot(range(len(stages)), wide.to_numpy(), color=SUBJECT, alpha=0.35, linewidth=0.8)
    axes.plot(range(len(stages)), wide.median(axis=1), color="black", linewidth=1.6)
    axes.axhline(0, color="black", linewidth=0.4)
    axes.set_xticks(range(len(stages)), [CASCADE_WORDS[stage] for stage in stages], rotation=30, ha="right")
    axes.set(ylabel=label, title=f"{column.probe}\n{column.name}")
