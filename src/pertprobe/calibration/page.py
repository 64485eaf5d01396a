"""The page of the calibration: what it shows, and its drawings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.calibration import table
from pertprobe.calibration.table import FALSE_POSITIVES, POWER, PUBLISHED
from pertprobe.plots import NULL, SUBJECT, nothing_to_draw, panels
from pertprobe.report.page import inline_svg, write_page

FIGURES = ("false_positives", "power", "seeds")
"""Functions of this module that draw them."""
RIVAL = "#c8553d"
MARKERS = ("o", "s", "^", "D", "v")


def write_calibration_page(rows: str | Path, figures: Mapping[str, str | Path], path: str | Path) -> None:
    """Write the page from the table of all figures, and the drawings by name."""
    write_page("calibration.html.j2", contents(table.read(rows), figures), path)


def contents(rows: pd.DataFrame, figures: Mapping[str, str | Path]) -> dict[str, Any]:
    """Return everything the template shows: judged figures first, those of single seeds in tables of their own."""
    whole, single = rows[rows.seed == ""], rows[rows.seed != ""]
    judged = whole[whole.holds.notna()]
    return {
        "n_judged": len(judged),
        "failing": _records(judged[~judged.holds.astype(bool)]),
        "groups": {name: _records(group) for name, group in whole.groupby("figure", sort=False)},
        "seeds": {name: _wide(group) for name, group in single.groupby("figure", sort=False)},
        "figures": {name: inline_svg(path) for name, path in figures.items()},
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    answers = rows.holds.map({True: "holds", False: "does not hold"}).astype(object)
    return rows.assign(answer=answers.where(rows.holds.notna(), "")).to_dict("records")


def _wide(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the shares of every seed: a row for each probe and setting, a column for each seed."""
    wide = rows.pivot_table(index=["probe", "setting"], columns="seed", values="value", sort=False, dropna=False)
    wide = wide[sorted(wide.columns, key=int)].dropna(how="all")
    return {"seeds": list(wide.columns), "rows": [(*key, *values) for key, *values in wide.itertuples()]}


def false_positives(table: pd.DataFrame) -> Figure:
    """Draw the false positives of each probe by setting and members, the published test's beside them."""
    ours, said = table[table.figure == FALSE_POSITIVES], table[table.figure == PUBLISHED]
    probes = list(ours.probe.unique())
    if not probes:
        return nothing_to_draw("No false positives were counted.")
    rows = [len(ours[ours.probe == probe]) for probe in probes]
    figure, axes = panels(len(probes), 60, 12 + 3 * max(rows), columns=2)
    for each, probe in zip(axes, probes, strict=True):
        published = said[said.probe == probe].set_index("setting").value
        _bars(each, ours[ours.probe == probe], published, probe)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, published: pd.Series, probe: str) -> None:
    places = np.arange(len(rows))[::-1]
    beside = published.reindex(rows.setting).to_numpy()
    axes.barh(places + 0.2, rows.value, 0.38, color=SUBJECT, label="this test")
    axes.barh(places - 0.2, beside, 0.38, color=RIVAL, alpha=0.7, label="published test")
    axes.plot(rows.bound, places + 0.2, "|", color="black", markersize=7, label="bound")
    axes.axvline(0.05, color="black", linewidth=0.5, linestyle=":")
    axes.set_yticks(places, rows.setting, fontsize=6)
    axes.set_xlim(0, 1 if np.nanmax([0.0, *beside], initial=0) > 0.2 else 0.2)
    axes.set_title(probe)
    axes.set_xlabel("share of programs without signal at p < 0.05")


def power(table: pd.DataFrame) -> Figure:
    """Draw power against d, a line for each number of members."""
    rows = table[table.figure == POWER]
    probes = list(rows.probe.unique())
    if not probes:
        return nothing_to_draw("Power was not measured.")
    figure, axes = panels(len(probes), 60, 50)
    for each, probe in zip(axes, probes, strict=True):
        mine = rows[rows.probe == probe]
        parts = mine.setting.str.extract(r"^(?P<members>\d+) of \d+, d = (?P<d>[\d.]+)$").astype(float)
        for (members, group), marker in zip(mine.join(parts).groupby("members"), MARKERS, strict=False):
            each.plot(group.d, group.value, marker=marker, markersize=4, linewidth=1, label=f"{members:.0f} members")
        each.axhline(0.95, color=NULL, linewidth=0.8, linestyle=":")
        each.set(title=probe, xlabel="d, sd of all others", ylabel="share found at p < 0.05", ylim=(0, 1.02))
    axes[0].legend(fontsize=6)
    return figure


def seeds(table: pd.DataFrame) -> Figure:
    """Draw the share of each seed, all seeds of every judged setting, and the bound of all together."""
    pooled = table[(table.seed == "") & table.duplicated(["figure", "probe", "setting"], keep=False)]
    if pooled.empty:
        return nothing_to_draw("No figure was measured over seeds.")
    figure, (axes,) = panels(1, 183, 14 + 3 * len(pooled))
    for place, row in zip(range(len(pooled))[::-1], pooled.itertuples(), strict=True):
        same = (table.figure == row.figure) & (table.probe == row.probe) & (table.setting == row.setting)
        values = table[same & (table.seed != "")].value.dropna().to_numpy()
        heights = place + np.linspace(-0.3, 0.3, values.size) if values.size > 1 else np.full(values.size, place)
        axes.scatter(values, heights, s=7, color=NULL)
        axes.plot(row.value, place, "o", color=SUBJECT, markersize=5)
        axes.plot(row.bound, place, "|", color="black", markersize=10)
    names = [f"{row.figure}: {row.probe}, {row.setting}" for row in pooled.itertuples()]
    axes.set_yticks(range(len(pooled))[::-1], names, fontsize=6)
    axes.set(xlim=(-0.03, 1.03), xlabel="share passing: grey = one seed, blue = all, line = bound")
    return figure
