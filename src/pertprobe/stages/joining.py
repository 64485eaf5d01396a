"""The shards of a measurement joined into one file, a shard of one variable in memory at a time."""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

from pertprobe.files import atomic
from pertprobe.stages.measuring import gather

UNITS = "perturbation"
ROWS = "rows"
"""Stands for what is large while the rest is gathered."""


def join_shards(paths: Sequence[str | Path], target: str | Path) -> None:
    """Write what `measuring.gather` makes of the shards' files, without holding their numbers together.

    Raises ValueError where shards have other coordinates than the first, and xarray.MergeError where they were measured
    differently; then nothing is written.
    """
    with ExitStack() as stack:
        shards = [stack.enter_context(xr.open_dataset(path, engine="h5netcdf")) for path in paths]
        filled = [shard for shard in shards if shard.sizes.get(UNITS)]
        large = _large(filled[0]) if filled else []
        frame = gather([_without(shard, large) for shard in shards])
        streamed = large if UNITS in frame.dims else []  # else the shards are refused, or one has all there is
        if streamed:
            frame = frame.drop_vars(ROWS).assign_coords(_other_axes([shard[large] for shard in filled]))
        with atomic(target) as temporary:
            frame.to_netcdf(temporary, engine="h5netcdf")
            for name in streamed:
                _stream(name, filled, temporary)


def _large(shard: xr.Dataset) -> list[str]:
    """Return the names of what has numbers for each unit and more axes; labels and lists of units are small."""
    return [str(name) for name, each in shard.data_vars.items()
            if UNITS in each.dims and each.ndim > 1 and each.dtype.kind == "f"]  # fmt: skip


def _without(shard: xr.Dataset, large: Sequence[str]) -> xr.Dataset:
    """Return a shard's small part in memory, with one number a unit in place of all that is large."""
    small = shard.drop_vars(large, errors="ignore").load().drop_encoding()
    return small.assign({ROWS: (UNITS, np.zeros(shard.sizes[UNITS]))}) if large and shard.sizes.get(UNITS) else small


def _other_axes(parts: Sequence[xr.Dataset]) -> dict[Hashable, xr.DataArray]:
    """Return the coordinates of what is large but those of units; raises ValueError where shards disagree."""
    none = [part.isel({UNITS: slice(0, 0)}).load() for part in parts]
    joined = xr.concat(none, UNITS, join="exact", combine_attrs="identical").drop_encoding()
    return {name: each for name, each in joined.coords.items() if UNITS not in each.dims}


def _stream(name: str, shards: Sequence[xr.Dataset], path: Path) -> None:
    """Append one variable to the file, the rows of each shard at their places among all units."""
    first = shards[0][name]
    with h5netcdf.File(path, "a") as file:
        units = np.asarray(file.variables[UNITS][:]).astype(str)
        sizes = {**first.sizes, UNITS: len(units)}
        file.dimensions.update({dim: size for dim, size in sizes.items() if dim not in file.dimensions})
        joined = file.create_variable(name, first.dims, first.dtype, fillvalue=first.dtype.type(np.nan))
        joined.attrs.update(first.attrs)
        axis = first.dims.index(UNITS)
        for shard in shards:
            values = shard[name].transpose(*first.dims).to_numpy()
            for ours, theirs in _stretches(np.searchsorted(units, shard[UNITS].values)):
                joined[(slice(None),) * axis + (theirs,)] = values[(slice(None),) * axis + (ours,)]


def _stretches(rows: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Yield the stretches of ascending places that follow each other: where they come from, and where they go."""
    cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1), len(rows)]
    for start, stop in pairwise(cuts):
        yield slice(start, stop), slice(int(rows[start]), int(rows[start]) + stop - start)
