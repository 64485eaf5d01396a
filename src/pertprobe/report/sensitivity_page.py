"""Gathers what the page on input sensitivity shows: do derivatives of each model mean anything?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import NOT_EVALUABLE, itself
from pertprobe.probes.delta_y import strength
from pertprobe.probes.sensitivity_figure import untrained
from pertprobe.report.page import inline_svg, write_page
from pertprobe.stages.measuring import read_measurement, read_subject

CLOSED = 0.5
"""Share of closed outputs above which most derivatives are those of a closed ReLU: 0, whatever the model knows."""
MISSED = 0.5
"""Share of a change that a derivative may miss before it does not describe it."""
LISTED = 10
"""Genes listed on either side."""


def write_sensitivity_page(files: Any, params: Any, path: str | Path) -> None:
    """Write the page; `files` and `params` are those of the rule `sensitivity_page`."""
    write_page("sensitivity.html.j2", contents(files, params), path)


def contents(files: Any, params: Any) -> dict[str, Any]:
    """Return everything the template shows."""
    models = []
    for name, measured, responses in zip(params.models, files.measurements, files.delta_y, strict=True):
        typical = float(strength(read_subject(responses, "delta_y")).median())
        models.append({"name": name, **params.models[name], **model_contents(read_measurement(measured), typical)})
    return {"run": params.run, "models": models, "figure": inline_svg(files.figure)}


def model_contents(measurement: xr.Dataset, typical: float) -> dict[str, Any]:
    """Return what is said of one model; `typical` is its median strength, the size of a response to a perturbation."""
    if NOT_EVALUABLE in measurement.attrs:
        return {"refused": measurement.attrs[NOT_EVALUABLE]}
    mine, names = itself(measurement), untrained(measurement)
    copies = measurement.sel(variant=names) if names else None
    gradient = _number("gradient, layer 0", mine, copies, "gradient", {"layer": 0})
    found = {"typical": typical, "gradient": gradient, "copies": len(names), **closed_outputs(mine), **noise(mine)}
    tables = {"numbers": list(numbers(mine, copies)), "genes": genes(mine)}
    return {"refused": "", "doubts": list(doubts(found)), **found, **tables}


def closed_outputs(mine: xr.Dataset) -> dict[str, Any]:
    """Return the share of outputs that are closed in a control cell, and how many are closed in every one."""
    shares = mine["closed"].mean("set")
    return {"closed": float(shares.mean()), "dead": int((shares == 1).sum()), "outputs": shares.size}


def noise(mine: xr.Dataset) -> dict[str, Any]:
    """Return the share of a shift's effect that the derivative misses, by its size in sd between cell sets.

    And, at the size nearest to 1: how far such a shift moves the mean output, and what is missed of it. `apart` is how
    far the outputs of two cell sets lie apart.
    """
    missed, moved = (mine[f"noise_{what}"].median(("set", "draw")).to_series() for what in ("error", "response"))
    nearest = int(np.abs(np.log(moved.index.to_numpy())).argmin())
    sizes = {"size": float(moved.index[nearest]), "moved": moved.iloc[nearest], "missed_there": missed.iloc[nearest]}
    return {"missed": missed.to_dict(), **sizes, "apart": float(mine["set_difference"])}


def doubts(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands against the derivatives of a model."""
    if found["closed"] > CLOSED:
        yield f"{found['closed']:.0%} of the outputs are closed"
    if found["missed_there"] > MISSED:
        yield "they miss most of a change as small as cell sets differ by"
    own, low, high = (found["gradient"][side] for side in ("model", "low", "high"))
    if not found["copies"]:
        yield "no untrained copies stand beside them"
    elif not (own < low or own > high):
        yield "their size is that of untrained weights"


def numbers(mine: xr.Dataset, copies: xr.Dataset | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of sizes: the model, and the range of its untrained copies."""
    for name, words in SIZES.items():
        yield _number(words, mine, copies, name, {})
    for layer in range(mine.sizes["layer"]):
        for name in ("activation", "gradient"):
            yield _number(f"{name}, layer {layer}", mine, copies, name, {"layer": layer})


SIZES = {
    "spectral_norm": "largest gain, any change of any cell",
    "shift_norm": "largest gain, one shift of all cells",
    "closed": "share of outputs closed",
    "converged": "change in the last step of the power iteration",
}
"""Variable -> its words."""


def _number(
    words: str, mine: xr.Dataset, copies: xr.Dataset | None, name: str, at: Mapping[str, int]
) -> dict[str, Any]:
    row = {"what": words, "model": float(mine[name].isel(at).mean()), "low": np.nan, "high": np.nan}
    if copies is None:
        return row
    others = copies[name].isel(at)
    others = others.mean([dim for dim in others.dims if dim != "variant"])
    return {**row, "low": float(others.min()), "high": float(others.max())}


def genes(mine: xr.Dataset) -> list[dict[str, Any]]:
    """Return the inputs whose natural variation moves the output most, beside the outputs that it moves most."""
    sides = [_largest(mine[name]) for name in ("input_response", "output_response")]
    return [
        {"input": read, "input_response": size, "output": written, "output_response": moved}
        for (read, size), (written, moved) in zip(*(side.items() for side in sides), strict=False)
    ]


def _largest(values: xr.DataArray) -> pd.Series:
    return values.mean("set").to_series().nlargest(LISTED)
