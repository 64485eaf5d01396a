"""How an atlas lies on disk: a zarr group of labelled arrays, the Jacobians in chunks of perturbations.

J_p = diag(open_p) output_weight core_p input_weight: `core` [perturbation, last, first] and `open` [perturbation,
target] are each perturbation's own, `output_weight` [target, last] and `input_weight` [first, regulator] all have in
common. `perturbation`, `target` and `regulator` hold the names.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from pertprobe.batching import BLOCK
from pertprobe.errors import PertprobeError, listed, meant, raise_together

FORMAT = 1
MARK = "pertprobe_atlas"
"""Attribute that holds the format."""
AXES = ("perturbation", "target", "regulator")
DIMENSIONS = {
    "core": ("perturbation", "last", "first"),
    "open": ("perturbation", "target"),
    "output_weight": ("target", "last"),
    "input_weight": ("first", "regulator"),
}
OWN, SHARED = ("core", "open"), ("output_weight", "input_weight")
"""What each perturbation has, and what all have in common."""
COMPRESSION = {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle"}


def create(
    path: Path, names: Mapping[str, Sequence[str]], weights: Mapping[str, np.ndarray], attributes: Mapping[str, Any]
) -> zarr.Group:
    """Make an atlas whose perturbations are still to be written; `weights`: output_weight, input_weight.

    `names` are those of AXES. Numbers are kept in the type of the weights.
    """
    store = zarr.create_group(path, attributes={**attributes, MARK: FORMAT})
    sizes = {axis: len(labels) for axis, labels in names.items()}
    sizes |= {"last": weights["output_weight"].shape[1], "first": weights["input_weight"].shape[0]}
    for name, labels in names.items():
        array = store.create_array(name, shape=(len(labels),), dtype=str, dimension_names=(name,))
        array[:] = np.array(labels, dtype=object)
    for name, dimensions in DIMENSIONS.items():
        shape = tuple(sizes[each] for each in dimensions)
        chunks = tuple(BLOCK if each == "perturbation" else max(1, sizes[each]) for each in dimensions)
        dtype = np.dtype(bool) if name == "open" else weights["output_weight"].dtype
        given = {"dtype": dtype, "compressors": BloscCodec(**COMPRESSION)}
        store.create_array(name, shape=shape, chunks=chunks, dimension_names=dimensions, **given)
    for name, values in weights.items():
        store[name][:] = values
    return store


def opened(path: str | Path) -> zarr.Group:
    """Return the group of an atlas, to be read; raises PertprobeError where there is none."""
    if not Path(path).is_dir():
        raise PertprobeError(f"atlas: there is no directory {path}. `snakemake atlas` writes them")
    try:
        store = zarr.open_group(path, mode="r")
    except FileNotFoundError:
        store = None
    found = None if store is None else store.attrs.get(MARK)
    if found != FORMAT:
        held = "holds no atlas" if found is None else f"holds an atlas of format {found}, not {FORMAT}"
        raise PertprobeError(f"atlas: {path} {held}. Write it again: `snakemake atlas`")
    return store


def places(wanted: Iterable[str] | None, known: Sequence[str], what: str) -> np.ndarray:
    """Return the positions of names among those of an axis, None = all; raises PertprobeError for unknown ones."""
    if wanted is None:
        return np.arange(len(known))
    position = {name: i for i, name in enumerate(known)}
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in wanted if name not in position]
    faults = [f"'{name}' is no {what} of it ({listed(known, 5)}).{meant(name, known)}" for name in unknown]
    raise_together(faults, "atlas: ")
    return np.array([position[name] for name in wanted], dtype=int)
