"""How time and memory grow: with perturbations, with knocked-out genes, with the shards that are joined."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from measure import Row, exponent, peak_mb, seconds
from published import control_cells, points, published_model

from pertprobe.batching import assigned
from pertprobe.interpret.jacobian import panel_jacobian
from pertprobe.interpret.knockouts import knockout_shifts
from pertprobe.stages.joining import join_shards
from pertprobe.stages.measuring import write_measurement

LINEAR, FLAT = 1.1, 0.1
AXES = ("set", "perturbation", "gene")
PERTURBATIONS, KNOCKED, SHARDS = [250, 500, 1000, 2000], [25, 50, 100, 200], [2, 4, 8, 16]


def rows() -> list[Row]:
    """Return the exponents, sizes in ascending order: the peak of a process never falls."""
    joined = _joined()  # first: what the model takes would hide it
    model, values = published_model("cpu"), control_cells()
    mean, cells = points(model, values)
    with torch.no_grad():
        codes = model.encode_perturbations(model.perturbations)
    works = [
        ("a panel, with perturbations", PERTURBATIONS,
         lambda n: panel_jacobian(model, codes[:n], mean, range(7), range(20, 24))),
        ("knock-outs, with genes", KNOCKED,
         lambda n: knockout_shifts(model, codes[:1], cells, range(n), "zero")),
    ]  # fmt: skip
    return [row for work, sizes, function in works for row in _grown(work, sizes, function)] + joined


def _grown(work: str, sizes: list[int], function: Callable[[int], Any]) -> list[Row]:
    """Return how seconds and memory of a function of the size grow."""
    spent, peaks = [], []
    with torch.no_grad(), assigned(sizes[-1]):  # as jobs measure
        function(sizes[0])  # warms up
        for n in sizes:
            spent.append(seconds(lambda n=n: function(n), 3))
            peaks.append(peak_mb())
    told = ", ".join(f"{n:,}: {s:.2f} s, {mb:,.0f} MB" for n, s, mb in zip(sizes, spent, peaks, strict=True))
    return [
        Row(f"growth of {work}: seconds", value=exponent(sizes, spent), unit="exponent",
            limits={"value": ("at most", LINEAR)}, note=told),
        Row(f"growth of {work}: memory", value=exponent(sizes, peaks), unit="exponent",
            limits={"value": ("at most", FLAT)}, note=told),
    ]  # fmt: skip


def _joined() -> list[Row]:
    """Join shards of 128 knock-outs with 32,000 outputs and 4 cell sets."""
    rng, peaks, megabytes = np.random.default_rng(0), [], 0.0
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{shard}.nc" for shard in range(SHARDS[-1])]
        for shard, path in enumerate(paths):
            units = [f"g{i * len(paths) + shard:05d}" for i in range(128)]
            shift = rng.normal(size=(4, len(units), 32_000)).astype(np.float32)
            write_measurement(xr.Dataset({"shift": (AXES, shift)}, {"perturbation": units}), path)
            megabytes = shift.nbytes / 1e6
        for n in SHARDS:
            join_shards(paths[:n], Path(name) / "all.nc")
            peaks.append(peak_mb())
    told = f"{megabytes:.0f} MB a shard; " + ", ".join(
        f"{n}: {mb:,.0f} MB" for n, mb in zip(SHARDS, peaks, strict=True)
    )
    return [Row("growth of joining, with shards: memory", value=exponent(SHARDS, peaks), unit="exponent",
                limits={"value": ("at most", FLAT)}, note=told)]  # fmt: skip
