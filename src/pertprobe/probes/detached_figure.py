"""Draws where responses come from, how coherent the part through the cells is, and the leading singular vectors."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pertprobe.plots import NULL, SUBJECT, bars_with_null, null_legend, panels
from pertprobe.probes.detached_tables import SIDES, named

MOST = 20
"""Programs shown for a model."""
SHOWN = 5
"""Singular vectors that are written out."""


def detached_figure(measurements: dict[str, xr.Dataset], rows: pd.DataFrame) -> Figure:
    """Draw three panels for each model; `rows` are its tested programs."""
    figure, axes = panels(3 * len(measurements), 60, 52, columns=3)
    for place, (model, measurement) in enumerate(measurements.items()):
        mine = axes[3 * place : 3 * place + 3]
        contributions(mine[0], measurement, model)
        tested = rows[rows.model == model].nlargest(MOST, "effect")
        bars_with_null(mine[1], tested, "coherence that comes through the cells")
        vectors(mine[2], measurement)
    null_legend(figure)
    return figure


def contributions(axes: Axes, measurement: xr.Dataset, model: str) -> None:
    """Draw the share of every source in every response, and their medians."""
    table = measurement["shares"].mean("set").to_pandas()
    sources = [source for source in table.columns[::-1] if (table[source] != 0).any()]
    for place, source in enumerate(sources):
        # Evenly spread in order of names: the spread keeps points apart and means nothing.
        heights = place + np.linspace(0.3, -0.3, len(table))
        axes.scatter(table[source], heights, s=5, color=NULL, linewidth=0)
        axes.plot([table[source].median()] * 2, [place - 0.4, place + 0.4], color=SUBJECT, linewidth=1.6)
    axes.axvline(0, color="black", linewidth=0.4)
    medians = [f"{source}  {table[source].median():.2f}" for source in sources]
    axes.set_yticks(range(len(sources)), medians)
    label = "share of delta_y, each perturbation; line and number: median"
    axes.set(xlabel=label, title=f"{model}: where responses come from")


def vectors(axes: Axes, measurement: xr.Dataset) -> None:
    """Write the leading singular vectors of the first decomposed map as genes read -> genes written."""
    axes.axis("off")
    if "values" not in measurement:
        axes.set_title("map not decomposed")
        return
    first = measurement.isel(at=0)
    frozen, ordinary = (float(first["effective_rank"].sel(map=name)) for name in ("frozen", "ordinary"))
    axes.set_title(f"map under {first['at'].item()}: effective rank {frozen:.1f} (ordinary {ordinary:.1f})")
    lines = []
    for number in range(min(SHOWN, first.sizes["rank"])):
        genes = [named(first[name].values[number], first[dim].values, 4) for name, dim in SIDES.values()]
        lines.append(f"s = {float(first['values'][number]):.2f}  reads {genes[0]}\n{'':>10}writes {genes[1]}")
    axes.text(0, 1, "\n".join(lines), va="top", fontsize=6, linespacing=1.5, transform=axes.transAxes)
