"""The drawings of the calibration: false positives, power, and what single seeds gave."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pertprobe.batching import chunked
from pertprobe.calibration.table import FALSE_POSITIVES, POWER, PUBLISHED
from pertprobe.plots import (
    BAD,
    HIGHEST,
    NULL,
    RIVAL,
    SMALL,
    SUBJECT,
    Drawn,
    foot,
    letters,
    nothing_to_draw,
    panels,
    sentences,
    shortened,
)

FIGURES = ("false_positives", "power", "seeds")
"""Functions of this module, each of which draws one."""
MARKERS = ("o", "s", "^", "D", "v")
"""Of numbers of members, in order."""
ROW, HEAD, FOOT, NAMES = 2.6, 12.0, 14.0, 42.0
"""Heights in mm of a line, above and below all lines, of the legend; width of what names a line."""
NOMINAL, FOUND = 0.05, 0.95
"""The level at which false positives are counted, and the share of planted effects that must be found."""
Line = tuple[str, pd.DataFrame | None]
"""Name of a line, and its rows; a heading has none."""


def broken(row: pd.Series) -> bool:
    """Return whether a row left its bound; one without a bound did not."""
    return bool(pd.notna(row.holds) and not row.holds)


def false_positives(table: pd.DataFrame) -> Drawn:
    """Draw the false positives of each probe by setting and members, the published test's beside them."""
    ours = table[table.figure == FALSE_POSITIVES]
    if ours.empty:
        return nothing_to_draw("No false positives were counted.")
    both = table[table.figure.isin([FALSE_POSITIVES, PUBLISHED])]
    parts = both.setting.str.extract(r"^(?P<words>.*?)(?:, (?P<members>\d+) members)?$")
    rows = both.assign(words=parts.words, members=parts.members.fillna("").to_numpy())
    sizes = sorted(set(rows.members), key=lambda text: int(text or 0))
    marks = dict(zip(sizes, MARKERS * len(sizes), strict=False))

    def fill(axes: Axes, y: int, mine: pd.DataFrame) -> None:
        """Draw one setting: a mark for each number of members, of this test and of the published one."""
        for row in mine.itertuples():
            own = row.figure == FALSE_POSITIVES
            colour = RIVAL if not own else BAD if broken(row) else SUBJECT
            inside = {"markerfacecolor": colour if own else "none", "markersize": 3, "markeredgewidth": 0.6}
            axes.plot(row.value, y, marks[row.members], color=colour, **inside)
        axes.plot(mine.bound.max(), y, "|", color="black", markersize=5)

    figures = _lined(list(_by_probe(rows, "words")), fill, "share of programs without signal at p < 0.05")
    for axes in [each for figure in figures for each in figure.axes]:
        axes.set_xscale("function", functions=(_root, np.square))
        axes.set(xlim=(0, 1), xticks=[0, NOMINAL, 0.2, 0.5, 1])
        axes.axvline(NOMINAL, color="black", linewidth=0.4, linestyle=":")
    handles = [
        *(_handle(marks[size], SUBJECT, f"{size} members" if size else "this test") for size in sizes),
        *([_handle("o", RIVAL, "published test", "none")] if (rows.figure == PUBLISHED).any() else []),
        _handle("|", "black", "bound"),
        *([_handle("o", BAD, "above its bound")] if (ours.holds == False).any() else []),  # noqa: E712
    ]
    return _finished(figures, handles, sentences(
        f"False positives of {ours.probe.nunique()} probes in worlds in which nothing is to be found: share of "
        f"programs with p < {NOMINAL:g}, n = {ours.n.min():.0f} to {ours.n.max():.0f} worlds each",
        "Bars: the largest share that is no evidence against that rate (one-sided 99.9 %, binomial); scale: root",
        "Hollow: the published test of the same worlds",
    ))  # fmt: skip


def power(table: pd.DataFrame) -> Drawn:
    """Draw power against d, a line for each number of members."""
    rows = table[table.figure == POWER]
    probes = list(rows.probe.unique())
    if not probes:
        return nothing_to_draw("Power was not measured.")
    columns = min(6, max(3, len(probes)))
    figure, axes = panels(len(probes), 29, 40, columns)
    members: dict[float, str] = {}
    for place, (each, probe) in enumerate(zip(axes, probes, strict=True)):
        mine = rows[rows.probe == probe]
        parts = mine.setting.str.extract(r"^(?P<members>\d+) of \d+, d = (?P<d>[\d.]+)$").astype(float)
        for size, group in mine.join(parts).groupby("members"):
            marker = members.setdefault(size, MARKERS[len(members) % len(MARKERS)])
            each.plot(group.d, group.value, marker=marker, color=f"C{2 * MARKERS.index(marker) % 7}", markersize=2.5)
        each.axhline(FOUND, color=NULL, linewidth=0.8, linestyle=":")
        each.set(title=probe.replace("_", " "), ylim=(0, 1.04), xlabel="d, sd of all others")
        each.set_ylabel("share found" if place % columns == 0 else "")
    lines = [
        _handle(marker, f"C{2 * MARKERS.index(marker) % 7}", f"{size:.0f} members", linestyle="-")
        for size, marker in sorted(members.items())
    ]
    letters(axes)
    foot(figure, lines, [f"Found: p < {NOMINAL:g}. Dotted: {FOUND:.0%}."])
    return Drawn(figure, sentences(
        f"Power of {len(probes)} probes: share of planted programs with p < {NOMINAL:g} against their strength d, in "
        "standard deviations of all others, by number of members",
        f"n = {rows.n.min():.0f} to {rows.n.max():.0f} worlds for each point; dotted: {FOUND:.0%}",
    ))  # fmt: skip


def seeds(table: pd.DataFrame) -> Drawn:
    """Draw the share of each seed, all seeds of every judged setting, and the bound of all together."""
    keys = ["figure", "probe", "setting"]
    kept = table[table.duplicated(keys, keep=False)]
    if kept[kept.seed == ""].empty:
        return nothing_to_draw("No figure was measured over seeds.")
    wanted = kept[kept.seed == ""].drop_duplicates(keys)[keys]
    rows = wanted.merge(kept, on=keys, how="left")

    def fill(axes: Axes, y: int, mine: pd.DataFrame) -> None:
        """Draw one setting: every seed, all together, and their bound."""
        values, whole = mine[mine.seed != ""].value.dropna().to_numpy(), mine[mine.seed == ""].iloc[0]
        heights = y + (np.linspace(-0.3, 0.3, values.size) if values.size > 1 else np.zeros(values.size))
        axes.scatter(values, heights, s=2.5, color=NULL, linewidth=0)
        axes.plot(whole.value, y, "o", color=BAD if broken(whole) else SUBJECT, markersize=3)
        axes.plot(whole.bound, y, "|", color="black", markersize=5)

    named = rows.assign(words=rows.figure + ": " + rows.setting)
    figures = _lined(list(_by_probe(named, "words")), fill, "share passing")
    for axes in [each for figure in figures for each in figure.axes]:
        axes.set(xlim=(-0.03, 1.03), xticks=[0, 0.5, 1])
    handles = [_handle("o", NULL, "one seed"), _handle("o", SUBJECT, "all seeds"), _handle("|", "black", "bound")]
    if (rows.holds == False).any():  # noqa: E712
        handles.append(_handle("o", BAD, "breaks its bound"))
    return _finished(figures, handles, sentences(
        f"Share of programs that pass, seed by seed, in {len(wanted)} settings: small points are single seeds, the "
        "larger one all together, the bar the bound that all together must keep"
    ))  # fmt: skip


def _root(value: Any) -> Any:
    return np.sqrt(np.maximum(value, 0))


def _handle(marker: str, colour: str, label: str, inside: str | None = None, linestyle: str = "") -> Line2D:
    """Return an entry of a legend."""
    face = {"markerfacecolor": inside or colour, "markersize": 3}
    return Line2D([], [], marker=marker, color=colour, linestyle=linestyle, label=label, **face)


def _by_probe(rows: pd.DataFrame, words: str) -> Iterator[Line]:
    """Yield each probe's name, then its lines."""
    for probe, mine in rows.groupby("probe", sort=False):
        yield str(probe), None
        yield from ((str(name), each) for name, each in mine.groupby(words, sort=False))


def _lined(lines: Sequence[Line], fill: Any, label: str) -> list[Figure]:
    """Return pages of two columns of lines, `fill(axes, y, rows)` drawing each."""
    most = int((HIGHEST - HEAD - FOOT) / ROW)
    columns = _headed(chunked(lines, min(most - 1, max(2, -(-len(lines) // 2)))))
    figures = []
    for here in chunked(columns, 2):
        figure, axes = panels(len(here), 89, HEAD + ROW * max(map(len, here)), 2)
        for each, mine in zip(axes, here, strict=True):
            _lines(each, mine, fill, max(map(len, here)))
            each.set_xlabel(label)
        figures.append(figure)
    return figures


def _headed(columns: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Return columns of lines that begin with a heading: one that is divided has its heading in both."""
    heading, found = "", []
    for column in columns:
        found.append([*([] if column[0][1] is None else [(f"{heading}, continued", None)]), *column])
        heading = next((name for name, rows in reversed(column) if rows is None), heading)
    return found


def _lines(axes: Axes, lines: Sequence[Line], fill: Any, height: int) -> None:
    """Draw lines and name them, those without rows as headings."""
    for y, (_, rows) in enumerate(lines):
        if rows is not None:
            fill(axes, y, rows)
    names = [shortened(name, NAMES, SMALL) for name, _ in lines]
    axes.set_yticks(range(len(lines)), names, fontsize=SMALL)
    for text, (_, rows) in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if rows is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(height - 0.4, -0.6)


def _finished(figures: Sequence[Figure], handles: Sequence[Line2D], caption: str) -> Drawn:
    """Return pages with the same legend, and the caption with their number."""
    for figure in figures:
        foot(figure, handles)
    more = f"{len(figures) - 1} further pages stand in the PDF" if len(figures) > 1 else ""
    return Drawn(figures[0], sentences(caption, more), tuple(figures[1:]))
