"""Every verdict in one figure: how many programs passed by probe and model, and those that pass most one by one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from pertprobe.plots import (
    COLOURS,
    DOUBLE,
    HIGHEST,
    SINGLE,
    SMALL,
    TEXT,
    Drawn,
    foot,
    left_out,
    name_of_pair,
    nothing_to_draw,
    page,
    sentences,
    shortened,
    text_width,
)

Column = tuple[str, str]
"""Probe, and model or pair."""
MARKS = {"pass": ("o", "pass"), "fail": ("x", "fail"), "mixed": ("D", "mixed"), "not evaluable": ("", "n.e.")}
"""Verdict -> its mark in narrow cells and its word in wide ones."""
MOST = 72
"""Columns of a page; a probe is never divided."""
WIDE, ROW = 6.0, 2.6
"""Width in mm of a cell from which verdicts are written in words; height of a row."""
NAMES, BARS, HEADINGS, LEGEND = 32.0, 16.0, 40.0, 12.0
"""mm: width of what names programs; heights of the counts, of what names columns, and of the legend with notes."""


class Shown(NamedTuple):
    """What a page shows."""

    columns: list[Column]
    programs: list[str]
    """The rows, those that pass most first."""
    answers: pd.DataFrame
    """Columns probe, name, program, verdict: a row for each cell, `mixed` where several verdicts differ."""


def verdict_matrix(verdicts: pd.DataFrame, models: Sequence[str], levels: Mapping[str, Sequence[str]]) -> Drawn:
    """Draw the counts of verdicts by probe and model, of all programs, and program x (probe, model) of the first ones.

    Programs that no probe could evaluate have no row; they are counted in the bars.
    """
    asked = verdicts[verdicts.verdict != "not evaluable"].program.unique()
    if not len(asked):
        return nothing_to_draw()
    named = verdicts.assign(name=verdicts.apply(name_of_pair, axis=1))
    answers = named.groupby(["probe", "name", "program"], as_index=False, sort=False).verdict.agg(_one)
    passed = (answers.verdict == "pass").groupby(answers.program).sum()
    programs = sorted(asked, key=lambda name: (-passed[name], name))
    most = int((HIGHEST - BARS - HEADINGS - LEGEND) / ROW)
    pages = _pages(_columns(answers, models, levels))
    figures = [_page(Shown(each, programs[:most], answers), verdicts.program.nunique(), len(asked)) for each in pages]
    return Drawn(figures[0], _caption(answers, programs, most, len(pages) - 1), tuple(figures[1:]))


def _one(verdicts: pd.Series) -> str:
    """Return the verdict of a cell: several panels of a program may differ."""
    found = set(verdicts)
    return found.pop() if len(found) == 1 else "mixed"


def _caption(answers: pd.DataFrame, programs: Sequence[str], most: int, further: int) -> str:
    counts = answers.verdict.value_counts()
    said = ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in COLOURS if counts.get(verdict, 0))
    never = answers.program.nunique() - len(programs)
    return sentences(
        f"Verdicts of {answers.probe.nunique()} probes on {answers.program.nunique()} programs: {said}",
        "Above: of all programs, how many passed, failed, or could not be asked (n.e.), by probe and model or pair",
        "Below: program by program, those that pass most first; mixed: panels of one program that differ",
        left_out(min(most, len(programs)), len(programs), "programs", "verdicts.tsv", "that pass most"),
        f"{never} programs that no probe could evaluate have no row; verdicts.tsv says why" if never else "",
        f"{further} further pages stand in the PDF" if further else "",
    )


def _columns(answers: pd.DataFrame, models: Sequence[str], levels: Mapping[str, Sequence[str]]) -> list[Column]:
    order = [probe for probes in levels.values() for probe in probes]
    rank = {model: position for position, model in enumerate(models)}

    def place(column: Column) -> tuple[int, str, int, str]:
        """Return what columns are sorted by; probes of no level stand one after the other."""
        probe, name = column
        return order.index(probe) if probe in order else len(order), probe, rank.get(name.split(" vs ")[0], 0), name

    return sorted(set(zip(answers.probe, answers.name, strict=True)), key=place)


def _pages(columns: list[Column]) -> list[list[Column]]:
    """Return the columns of each page: at most `MOST`, or those of one probe."""
    pages: list[list[Column]] = [[]]
    for probe in dict.fromkeys(probe for probe, _ in columns):
        mine = [each for each in columns if each[0] == probe]
        if pages[-1] and len(pages[-1]) + len(mine) > MOST:
            pages.append([])
        pages[-1] += mine
    return pages


def _page(shown: Shown, of_all: int, asked: int) -> Figure:
    """Draw the counts of `of_all` programs above, and rows of some of those that were asked below."""
    width = SINGLE if NAMES + WIDE * len(shown.columns) <= SINGLE else DOUBLE
    rows = ROW * len(shown.programs)
    figure = page(width, BARS + HEADINGS + rows)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[BARS, rows])
    cells = (width - NAMES) / len(shown.columns)
    _counts(above, shown, cells)
    _cells(below, shown, cells)
    _name_columns(above, below, shown.columns, cells)
    notes = [
        f"n.e.: not evaluable. Bars: all {of_all} programs.",
        left_out(len(shown.programs), asked, "programs", "verdicts.tsv", "that pass most"),
        f"{of_all - asked} programs that no probe could evaluate have no row." if of_all > asked else "",
    ]
    foot(figure, [_handle(verdict, cells) for verdict in COLOURS], notes)
    return figure


def _handle(verdict: str, cells: float) -> Line2D:
    """Return the entry of a verdict in the legend."""
    style = {"linestyle": "", "marker": "s", "markersize": 5, "color": COLOURS[verdict]}
    mark = {"pass": "dot", "fail": "cross", "mixed": "diamond"}.get(verdict) if cells < WIDE else None
    return Line2D([], [], label=f"{verdict} ({mark})" if mark else verdict, **style)


def _counts(axes: Axes, shown: Shown, cells: float) -> None:
    """Draw of each column how many programs have which verdict, and write how many passed."""
    counts = shown.answers.groupby(["probe", "name"]).verdict.value_counts().unstack(fill_value=0)
    counts = counts.reindex(shown.columns).reindex(columns=list(COLOURS), fill_value=0)
    bottom = np.zeros(len(counts))
    for verdict, colour in COLOURS.items():
        axes.bar(range(len(counts)), counts[verdict], 0.86, bottom=bottom, color=colour, linewidth=0)
        bottom += counts[verdict].to_numpy()
    for x, passed in enumerate(counts["pass"]):
        turned = 0 if text_width(f" {passed}", SMALL) < cells else 90
        axes.text(x, bottom.max() * 1.05, str(passed), ha="center", fontsize=SMALL, rotation=turned)
    axes.set(ylim=(0, bottom.max() * 1.4), ylabel="programs;\nnumber: pass")
    axes.locator_params(axis="y", nbins=3, integer=True)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _cells(axes: Axes, shown: Shown, cells: float) -> None:
    """Draw the verdict of each program and column: its colour, and its word or mark."""
    place = {column: x for x, column in enumerate(shown.columns)}
    row = {program: y for y, program in enumerate(shown.programs)}
    keys = list(zip(shown.answers.probe, shown.answers.name, strict=True))
    mine = shown.answers[np.array([key in place for key in keys]) & shown.answers.program.isin(row).to_numpy()]
    x = np.array([place[key] for key in zip(mine.probe, mine.name, strict=True)], dtype=float)
    y = mine.program.map(row).to_numpy(dtype=float)
    for verdict, (marker, word) in MARKS.items():
        here = (mine.verdict == verdict).to_numpy()
        squares = [Rectangle((a - 0.45, b - 0.45), 0.9, 0.9) for a, b in zip(x[here], y[here], strict=True)]
        axes.add_collection(PatchCollection(squares, facecolor=COLOURS[verdict], linewidth=0))
        ink = "black" if verdict in ("not evaluable", "mixed") else "white"
        if cells >= WIDE:
            for a, b in zip(x[here], y[here], strict=True):
                axes.text(a, b, word, ha="center", va="center_baseline", fontsize=SMALL, color=ink)
        elif marker:
            axes.scatter(x[here], y[here], s=2.5, marker=marker, color=ink, linewidth=0.6)
    axes.set_yticks(range(len(row)), [shortened(name, NAMES - 4, SMALL) for name in row], fontsize=SMALL)
    axes.set(ylim=(len(row) - 0.5, -0.5), xlim=(-0.5, len(place) - 0.5))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _name_columns(above: Axes, below: Axes, columns: Sequence[Column], cells: float) -> None:
    """Write the probes over the counts, a line between them, and models and pairs below the cells."""
    names = [shortened(name, 24, SMALL) for _, name in columns]
    below.set_xticks(range(len(columns)), names, rotation=90, fontsize=SMALL)
    for probe in dict.fromkeys(probe for probe, _ in columns):
        places = [x for x, (each, _) in enumerate(columns) if each == probe]
        words = shortened(probe.replace("_", " "), 30, TEXT, "bold")
        fits = text_width(f" {words}", TEXT, "bold") < cells * len(places)
        turned = {"ha": "center"} if fits else {"ha": "left", "rotation": 40, "rotation_mode": "anchor"}
        style = {"transform": above.get_xaxis_transform(), "fontsize": TEXT, "fontweight": "bold", "va": "bottom"}
        above.text(float(np.mean(places)), 1.02, words, **style, **turned)
        for axes in (above, below):
            axes.axvline(places[0] - 0.5, color="white", linewidth=1.5)
