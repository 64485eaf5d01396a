"""Every verdict in one figure: program by probe and model."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from pertprobe.plots import COLOURS, NOTHING_TESTED, name_of_pair, nothing_to_draw

MOST = 18
"""Columns that one row of the verdict matrix holds."""


def verdict_matrix(verdicts: pd.DataFrame, models: Sequence[str], levels: Mapping[str, Sequence[str]]) -> Figure:
    """Draw program x (probe, model): what passed, failed, or could not be asked.

    Programs that no probe could evaluate are left to the tables, and counted below.
    """
    asked = verdicts[verdicts.verdict != "not evaluable"].program.unique()
    shown = verdicts[verdicts.program.isin(asked)]
    if shown.empty:
        return nothing_to_draw(NOTHING_TESTED)
    shown = shown.assign(name=shown.apply(name_of_pair, axis=1))
    bands = _bands(_columns(shown, models, levels))
    passed = (shown.verdict == "pass").groupby(shown.program).sum()
    programs = sorted(passed.index, key=lambda name: (-passed[name], name))
    widest, height = max(map(len, bands)), 1.5 + 0.26 * len(programs)
    size = 2.6 + 0.5 * widest, 0.4 + height * len(bands)
    figure, rows = plt.subplots(len(bands), figsize=size, layout="constrained", squeeze=False)
    for axes, columns in zip(rows[:, 0], bands, strict=True):
        _band(axes, columns, programs, shown, widest)
    left_out = verdicts.program.nunique() - len(programs)
    note = f"; {left_out} programs that no probe could evaluate are not shown" if left_out else ""
    handles = [Patch(color=colour, label=verdict) for verdict, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, title=f"Verdicts{note}", alignment="left")
    return figure


def _columns(shown: pd.DataFrame, models: Sequence[str], levels: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    order = [probe for probes in levels.values() for probe in probes]
    rank = {model: position for position, model in enumerate(models)}

    def place(column: tuple[str, str]) -> tuple[int, str, int, str]:
        """Return what columns are sorted by; probes of no level stand one after the other."""
        probe, name = column
        return order.index(probe) if probe in order else len(order), probe, rank.get(name.split(" vs ")[0], 0), name

    return sorted(set(zip(shown.probe, shown.name, strict=True)), key=place)


def _bands(columns: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Return the columns in rows of at most MOST, or of one probe; a probe is never divided."""
    bands: list[list[tuple[str, str]]] = [[]]
    for probe in dict.fromkeys(probe for probe, _ in columns):
        mine = [each for each in columns if each[0] == probe]
        if bands[-1] and len(bands[-1]) + len(mine) > MOST:
            bands.append([])
        bands[-1] += mine
    return bands


def _band(axes: Axes, columns: list[tuple[str, str]], programs: list[str], shown: pd.DataFrame, width: int) -> None:
    """Draw some columns of the matrix on axes that are `width` columns wide."""
    for x, (probe, name) in enumerate(columns):
        mine = shown[(shown.probe == probe) & (shown.name == name)]
        for y, program in enumerate(programs):
            _cell(axes, x, y, list(mine[mine.program == program].verdict))
    _frame(axes, columns, programs)
    axes.set_xlim(-0.5, width - 0.5)


def _cell(axes: Axes, x: int, y: int, answers: list[str]) -> None:
    if not answers:
        return
    answer = answers[0] if len(set(answers)) == 1 else "mixed"
    axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, color=COLOURS[answer]))
    mark = {"pass": "pass", "fail": "fail", "mixed": "mixed", "not evaluable": "n.e."}[answer]
    axes.text(x, y, mark, ha="center", va="center", fontsize=6, color="black" if answer == "not evaluable" else "white")


def _frame(axes: Axes, columns: list[tuple[str, str]], programs: list[str]) -> None:
    axes.set_ylim(len(programs) - 0.5, -0.5)
    axes.set_yticks(range(len(programs)), programs)
    axes.set_xticks(range(len(columns)), [name for _, name in columns], rotation=40, ha="left")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for probe in dict.fromkeys(probe for probe, _ in columns):
        places = [x for x, (each, _) in enumerate(columns) if each == probe]
        label = probe.replace("_", "\n")
        axes.text(np.mean(places), len(programs) - 0.3, label, ha="center", va="top", fontweight="bold", fontsize=7)
        axes.axvline(places[0] - 0.5, color="white", linewidth=3)
