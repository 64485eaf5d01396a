"""Draws what a model's output answers to: gradients by layer, the linear range, the inputs that count most."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pertprobe.plots import NULL, SUBJECT, panels
from pertprobe.probes.base import itself
from pertprobe.roles import CASCADE
from pertprobe.roles import SUBJECT as ITSELF

SHOWN = 12
"""Input genes shown."""


def sensitivity_figure(measurements: Mapping[str, xr.Dataset]) -> Figure:
    """Draw three panels for each model."""
    figure, axes = panels(3 * len(measurements), 60, 45, columns=3)
    for place, (model, measurement) in enumerate(measurements.items()):
        layers, linear, largest = axes[3 * place : 3 * place + 3]
        _lines(layers, measurement["gradient"].mean("set"), "layer")
        layers.set(ylabel="gradient of the mean output", xlabel="layer", xticks=range(measurement.sizes["layer"]))
        layers.set_title(f"{model}: gradients")
        _lines(linear, measurement["noise_error"].median(("set", "draw")), "noise")
        linear.set(xscale="log", xlabel="shift of all cells, in sd between cell sets", title="linear range")
        linear.set_ylabel("share of the change that\nthe derivative misses")
        sizes = measurement["noise"].values
        linear.set_xticks(sizes, [f"{size:g}" for size in sizes])
        linear.xaxis.set_minor_locator(NullLocator())
        _inputs(largest, measurement)
    mine = [axes[0].plot([], [], color=colour, label=label)[0] for colour, label in LINES]
    figure.legend(handles=mine, loc="outside lower center", ncols=2)
    return figure


LINES = ((SUBJECT, "the model"), (NULL, "untrained copies"))


def untrained(measurement: xr.Dataset) -> list[str]:
    """Return the variants without any training; those of a cascade keep a part of it."""
    names = measurement["variant"].values.tolist() if "variant" in measurement.dims else []
    return [name for name in names if name != ITSELF and not name.startswith(CASCADE)]


def _lines(axes: Axes, values: xr.DataArray, along: str) -> None:
    """Draw one line for each copy, and the model above them."""
    places = values[along].values if along in values.coords else np.arange(values.sizes[along])
    for name in untrained(values):
        axes.plot(places, values.sel(variant=name), color=NULL, linewidth=0.8)
    axes.plot(places, itself(values), color=SUBJECT, linewidth=1.6, marker="o", markersize=3)
    axes.set_ylim(bottom=0)


def _inputs(axes: Axes, measurement: xr.Dataset) -> None:
    """Draw the genes whose natural variation moves the mean output most."""
    values = measurement["input_response"].mean("set")
    largest = itself(values).to_series().nlargest(SHOWN)[::-1]
    axes.barh(range(len(largest)), largest, color=SUBJECT, height=0.7)
    axes.set_yticks(range(len(largest)), largest.index, fontsize=6)
    axes.set(xlabel="change of the mean output for one sd", title="inputs that count most")
