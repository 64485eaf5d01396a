"""The figure of input_sensitivity: gradients, the linear range, the inputs that count most, and programs by rank."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from pertprobe.plots import (
    NULL,
    SUBJECT,
    TEXT,
    DrawInputs,
    Drawn,
    Shared,
    bands,
    draw_abreast,
    foot,
    height_of,
    letters,
    nothing_to_draw,
    null_handles,
    parted,
    sentences,
    share_rows,
)
from pertprobe.probes.base import itself
from pertprobe.roles import CASCADE
from pertprobe.roles import SUBJECT as ITSELF

PRIMARY = "input_rank"
PROGRAMS, SHOWN = 12, 12
"""Most programs of a page; inputs that are shown."""
HIGH, LINE = 34.0, 2.7
"""Heights in mm: of a panel of lines, of a bar."""


def draw(inputs: DrawInputs) -> Drawn:
    """Draw gradients and the linear range beside untrained copies, the inputs that count most, and programs."""
    measured = {name: each for name, each in inputs.measurements.items() if "gradient" in each}
    if not measured:
        return nothing_to_draw()
    shared = share_rows(inputs.by_model(inputs.answered(PRIMARY)), PROGRAMS)
    first, *further = [_page(inputs, {name: measured[name] for name in part}, shared) for part in parted([*measured])]
    return Drawn(first, _caption(inputs, measured, shared, len(further)), tuple(further))


def _caption(inputs: DrawInputs, measured: Mapping[str, xr.Dataset], shared: Shared, further: int) -> str:
    """Return what each panel shows, of how many cell sets, copies and draws."""
    one, *_ = measured.values()
    copies = max(len(untrained(each)) for each in measured.values())
    return sentences(
        "(a) Gradient of the mean output by the layers' states, root of the sum of squares, mean over "
        f"{one.sizes['set']} cell sets; one column per model",
        "(b) Share of the change of the mean output that the derivative misses when all cells are shifted, by the size "
        f"of the shift, median over cell sets and {one.sizes['draw']} draws",
        f"Grey: {copies} untrained copies" if copies else "",
        f"(c) The {SHOWN} inputs of which one standard deviation over control cells moves the mean output most",
        "(d) Mean rank of a program's genes among all inputs by their gradient, 1 the largest" if shared.names else "",
        shared.said(inputs.filled, "genes", "evidence/input_sensitivity.tsv") if shared.names else "",
        f"{further} further pages of the PDF hold further models" if further else "",
    )


def _page(inputs: DrawInputs, measured: Mapping[str, xr.Dataset], shared: Shared) -> Figure:
    rows = shared._replace(tables={name: shared.tables[name] for name in measured if name in shared.tables})
    heights = [HIGH, HIGH, 12 + LINE * SHOWN, *([height_of(rows)] if rows.tables else [])]
    figure, panels = bands([*[len(measured)] * 3, len(rows.tables)][: len(heights)], heights)
    for layers, linear, largest, (model, measurement) in zip(*panels[:3], measured.items(), strict=True):
        _by_layer(layers, measurement)
        layers.set_title(model)
        _by_size(linear, measurement)
        _inputs(largest, measurement)
    if rows.tables:
        draw_abreast(panels[3], rows, "mean rank of inputs", inputs.filled)
    letters([axes[0] for axes in panels])
    lines = [
        Line2D([], [], color=SUBJECT, marker="o", label="the model"),
        Line2D([], [], color=NULL, label="untrained copies"),
    ]
    foot(figure, [*lines, *(null_handles(inputs.filled) if rows.tables else [])])
    return figure


def untrained(measurement: xr.Dataset) -> list[str]:
    """Return the variants without any training; those of a cascade keep a part of it."""
    names = measurement["variant"].values.tolist() if "variant" in measurement.dims else []
    return [name for name in names if name != ITSELF and not name.startswith(CASCADE)]


def _by_layer(axes: Axes, measurement: xr.Dataset) -> None:
    _lines(axes, measurement["gradient"].mean("set"), "layer")
    layers = measurement.sizes["layer"]
    axes.set(ylabel="gradient", xlabel="layer", xticks=range(0, layers, 1 + layers // 10))


def _by_size(axes: Axes, measurement: xr.Dataset) -> None:
    _lines(axes, measurement["noise_error"].median(("set", "draw")), "noise")
    axes.set(xscale="log", xlabel="shift of all cells, in sd between cell sets", ylabel="share missed")
    sizes = measurement["noise"].values
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())


def _lines(axes: Axes, values: xr.DataArray, along: str) -> None:
    """Draw one line for each copy, and the model above them."""
    places = values[along].values if along in values.coords else np.arange(values.sizes[along])
    for name in untrained(values):
        axes.plot(places, values.sel(variant=name), color=NULL, linewidth=0.6)
    axes.plot(places, itself(values), color=SUBJECT, linewidth=1.0, marker="o", markersize=2.5)
    axes.set_ylim(bottom=0)


def _inputs(axes: Axes, measurement: xr.Dataset) -> None:
    """Draw the genes whose natural variation moves the mean output most."""
    values = measurement["input_response"].mean("set")
    largest = itself(values).to_series().nlargest(SHOWN)[::-1]
    axes.barh(range(len(largest)), largest, color=SUBJECT, height=0.7)
    axes.set_yticks(range(len(largest)), largest.index, fontsize=TEXT)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="change of the mean output for one sd", ylim=(-0.6, len(largest) - 0.4))
