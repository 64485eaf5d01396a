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
        return {
            "answer": f"Not evaluable: {measurement.attrs[NOT_EVALUABLE]}.",
            "sentences": [],
            "numbers": [],
            "genes": [],
        }
    mine = itself(measurement)
    copies = measurement.sel(variant=untrained(measurement)) if "variant" in measurement.dims else None
    said = [closed_outputs(mine), linear_range(mine), noise_size(mine, typical), against_copies(mine, copies)]
    doubts = [doubt for _, doubt in said if doubt]
    return {
        "answer": answer(doubts),
        "sentences": [sentence for sentence, _ in said],
        "numbers": list(numbers(mine, copies)),
        "genes": genes(mine),
    }


def answer(doubts: list[str]) -> str:
    """Say whether derivatives of the model mean anything."""
    if not doubts:
        return (
            "Derivatives of this model mean something: most outputs are open, small changes are predicted, and the "
            "gradients are not those of untrained weights."
        )
    return f"Read derivatives of this model with care: {'; '.join(doubts)}."


def closed_outputs(mine: xr.Dataset) -> tuple[str, str]:
    """Say how many outputs are closed, and what of it stands against derivatives."""
    shares = mine["closed"].mean("set")
    share, dead = float(shares.mean()), int((shares == 1).sum())
    sentence = (
        f"{share:.0%} of the outputs are exactly 0 in a control cell, and {dead} of {shares.size} in every cell: the "
        "derivative of a closed output is 0 and says nothing."
    )
    return sentence, f"{share:.0%} of the outputs are closed" if share > CLOSED else ""


def linear_range(mine: xr.Dataset) -> tuple[str, str]:
    """Say how far the derivative predicts shifts of the sizes that were asked for."""
    missed = mine["noise_error"].median(("set", "draw")).to_series()
    sizes = ", ".join(f"{error:.0%} at {size:g}" for size, error in missed.items())
    sentence = f"Of what a shift of all cells changes, the derivative misses {sizes} times the sd between cell sets."
    nearest = missed.iloc[int(np.abs(np.log(missed.index.to_numpy())).argmin())]
    return sentence, "they miss most of a change as small as cell sets differ by" if nearest > MISSED else ""


def noise_size(mine: xr.Dataset, typical: float) -> tuple[str, str]:
    """Say what noise alone does to the output, beside the response to a perturbation. It stands against nothing."""
    sizes = mine["noise_response"].median(("set", "draw")).to_series()
    size = float(sizes.index[int(np.abs(np.log(sizes.index.to_numpy())).argmin())])
    sentence = (
        f"A shift of {size:g} sd between cell sets moves the mean output by {sizes[size]:.3g}; the median response to "
        f"a perturbation is {typical:.3g}."
    )
    apart = float(mine["set_difference"])
    return sentence + (f" The outputs of two cell sets lie {apart:.3g} apart." if np.isfinite(apart) else ""), ""


def against_copies(mine: xr.Dataset, copies: xr.Dataset | None) -> tuple[str, str]:
    """Say whether the gradient through the backbone is told from that of untrained copies."""
    if copies is None or not copies.sizes["variant"]:
        return "There are no untrained copies to compare gradients with.", "no untrained copies stand beside them"
    own, others = (float(mine["gradient"].mean("set")[0]), copies["gradient"].mean("set").isel(layer=0).values)
    low, high = float(others.min()), float(others.max())
    sentence = (
        f"The gradient from the input of the backbone to the output is {own:.3g}; in {others.size} untrained copies it "
        f"lies between {low:.3g} and {high:.3g}."
    )
    return sentence, "" if own < low or own > high else "their size is that of untrained weights"


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
    if copies is None or not copies.sizes["variant"]:
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
