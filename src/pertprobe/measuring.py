"""From a request to a measurement: one shard of one probe on one model, and the shards joined again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.cells import CellSets
from pertprobe.files import atomic
from pertprobe.probes import load_probe
from pertprobe.probes.base import SUBJECT, MeasureInputs, averaged

NOT_EVALUABLE = "not_evaluable"
"""Attribute of a measurement that could not be made, with the reason."""


def measure_shard(probe: str, inputs: MeasureInputs, shard: int, shards: int) -> xr.Dataset:
    """Measure shard `shard` of `shards`: unit i of the sorted names goes to shard i mod `shards`.

    Each unit is computed by itself, with all cell sets, so that its numbers do not depend on the units beside it.
    """
    import torch  # here, so that gathering and testing start without it

    module = load_probe(probe)
    lacking = sorted(module.NEEDS - inputs.model.capabilities)
    if lacking:
        return xr.Dataset(attrs={NOT_EVALUABLE: f"model has no {' and no '.join(lacking)}"})
    names = sorted(module.units(inputs))[shard::shards]
    if not names:
        return xr.Dataset(attrs={"empty": "more shards than units"})
    with torch.no_grad():
        return module.measure(inputs, names)


def gather(shards: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join the shards of one model, units sorted by name."""
    filled = [shard for shard in shards if "empty" not in shard.attrs]
    refused = [shard for shard in filled if NOT_EVALUABLE in shard.attrs]
    if refused:
        return refused[0]
    if not filled:
        return xr.Dataset(attrs={NOT_EVALUABLE: "nothing to measure"})
    if "perturbation" not in filled[0].dims:
        return filled[0]
    along = [name for name in filled[0].data_vars if "perturbation" in filled[0][name].dims]
    joined = xr.concat([shard[along] for shard in filled], "perturbation", join="exact", combine_attrs="identical")
    return joined.sortby("perturbation")


def write_measurement(measurement: xr.Dataset, path: str | Path) -> None:
    """Write a measurement as NetCDF, all or nothing."""
    with atomic(path) as temporary:
        measurement.to_netcdf(temporary, engine="h5netcdf")


def read_measurement(path: str | Path) -> xr.Dataset:
    """Read a measurement into memory.

    Without its encoding: xarray remembers the longest name of the file, and would cut longer names of other shards to
    that length when they are written together.
    """
    return xr.load_dataset(path, engine="h5netcdf").drop_encoding()


def write_space(measurement: xr.Dataset, space: Sequence[str], path: str | Path) -> None:
    """Write perturbation x feature means as h5ad (obs = perturbations), for scanpy; empty where not measured."""
    _, variable, feature = space
    table = pd.DataFrame()
    if NOT_EVALUABLE not in measurement.attrs:
        table = averaged(measurement, variable).to_pandas()
    adata = ad.AnnData(
        X=table.to_numpy(np.float32),
        obs=pd.DataFrame(index=table.index.astype(str)),
        var=pd.DataFrame(index=table.columns.astype(str)),
        uns={"feature": feature, "variant": SUBJECT, **measurement.attrs},
    )
    with atomic(path) as temporary:
        adata.write_h5ad(temporary)


def cells_for(model: Any, path: str | Path) -> CellSets:
    """Return the cell sets of a context with genes in the model's order."""
    return CellSets.load(path).for_genes(model.genes)
