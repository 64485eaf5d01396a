"""Writing an atlas: blocks of perturbations one after the other, whole or not at all; and joining its shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pertprobe.batching import BLOCK, MEMORY_GB, counted, units_of_shard
from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.files import atomic
from pertprobe.interpret.atlas.layout import AXES, OWN, SHARED, create, opened, places
from pertprobe.interpret.jacobian import Derivative, jacobian_cores, mean_place
from pertprobe.models.base import LinearEnds, Model, encode_each

NEEDS = frozenset({"stages", "gradient", "gene_space", "set_function"})
"""What a model must offer: a cell of multiplicity S stands for S cells in set functions alone."""
COPIES = 3
"""How often the cores of a block are in memory at once: as they were computed, joined, and on their way to disk."""
CONTROL = "control"
"""Stands for the model's control among perturbations."""


def write_atlas(
    model: Model,
    cells: CellSets,
    path: str | Path,
    perturbations: Sequence[str] | None = None,
    *,
    derivative: Derivative = "total",
    dtype: Literal["float32", "float64"] = "float32",
    memory_gb: float = MEMORY_GB,
    shard: int = 0,
    shards: int = 1,
) -> None:
    """Write the Jacobian at the mean cell under each perturbation, or under those of one shard, as a zarr directory.

    Args:
        model: on the device that computes.
        cells: control cells, genes in the model's order. The mean cell is that of all sets, and stands for the S cells
            of one.
        path: the directory; it appears when everything is in it.
        perturbations: names; None = all that the model knows, its control among them.
        derivative: total, or diagonal (methods.md, The derivative engine).
        dtype: in which numbers are kept; float32 rounds those of a float64 model.
        memory_gb: for a block of cores, and as much again for computing them.
        shard: whole blocks of the sorted names, as `batching.units_of_shard` assigns them.
        shards: how many there are.

    Raises:
        PertprobeError: the model lacks what an atlas needs, is no set function, or does not know a perturbation.
    """
    ends, asked = _linear_ends(model), _asked(model, perturbations)
    mean = cells.values.mean(0, keepdims=True, dtype=np.float64)
    point, label = mean_place(model, mean, cells.batches, derivative)
    mine = units_of_shard(asked, shard, shards)
    names = {"perturbation": mine, "target": model.output_genes, "regulator": model.genes}
    weights = {name: getattr(ends, name).detach().cpu().numpy().astype(dtype) for name in SHARED}
    about = {"control": model.control, "derivative": derivative, "batch": label}
    about |= {"context": cells.context, "cells": cells.hash, "n_sets": cells.n_sets, "set_size": cells.set_size}
    size = _block(ends, memory_gb)
    with atomic(path) as temporary, torch.no_grad():
        store = create(temporary, names, weights, about)
        for start in counted(range(0, len(mine), size), f"atlas, blocks of {size} perturbations"):
            block = mine[start : start + size]
            found = jacobian_cores(model, encode_each(model, block), point, derivative, memory_gb)
            for name in OWN:
                store[name][start : start + len(block)] = getattr(found, name)[:, 0].cpu().numpy()


def join_atlases(parts: Sequence[str | Path], path: str | Path) -> None:
    """Write the shards of one atlas as one, block by block; raises PertprobeError where they are of different ones."""
    stores = [opened(part) for part in parts]
    for part, store in zip(parts, stores, strict=True):
        if dict(store.attrs) != dict(stores[0].attrs):
            raise PertprobeError(f"atlas: {part} and {parts[0]} are no shards of one atlas: they say {_said(stores)}")
    labels = [[list(store[axis][:]) for axis in AXES] for store in stores]
    perturbations = sorted(name for each in labels for name in each[0])
    names = dict(zip(AXES, (perturbations, *labels[0][1:]), strict=True))
    with atomic(path) as temporary:
        weights = {name: stores[0][name][:] for name in SHARED}
        whole = create(temporary, names, weights, dict(stores[0].attrs))
        for store, (own, *_) in zip(stores, labels, strict=True):
            for start in range(0, len(own), BLOCK):
                at = perturbations.index(own[start])
                for name in OWN:
                    block = store[name][start : start + BLOCK]
                    whole[name][at : at + len(block)] = block


def _linear_ends(model: Model) -> LinearEnds:
    """Return the model between its outermost Linears; raises PertprobeError where it has no atlas."""
    if lacking := sorted(NEEDS - model.capabilities):
        raise PertprobeError(
            f"atlas: the model has no {' and no '.join(lacking)}. An atlas pairs genes with genes at the mean cell of "
            "a set function: leave this model out of atlas.models"
        )
    if "linear_ends" not in model.capabilities:
        raise PertprobeError(
            "atlas: the model has no `linear_ends()` (pertprobe.models.base.LinearEnds), without which whole Jacobians "
            "cannot be kept as factors: leave it out of atlas.models, or ask a panel of genes (targeted_jacobian)"
        )
    return model.linear_ends()


def _asked(model: Model, perturbations: Sequence[str] | None) -> list[str]:
    """Return the names that are asked for, all known."""
    if perturbations is None:
        return list(model.perturbations)
    names = sorted({model.control if name == CONTROL else name for name in perturbations})
    places(names, model.perturbations, "perturbation")
    return names


def _block(ends: LinearEnds, memory_gb: float) -> int:
    """Return how many perturbations' cores fit the budget, in whole blocks of the shards, at least one."""
    one = ends.output_weight.shape[1] * ends.input_weight.shape[0] * ends.output_weight.element_size()
    return max(1, int(memory_gb * 1e9 / (COPIES * one)) // BLOCK) * BLOCK


def _said(stores: Sequence[Any]) -> str:
    """Return the attributes in which stores differ."""
    each = [dict(store.attrs) for store in stores]
    keys = sorted(name for name in each[0] if any(other.get(name) != each[0][name] for other in each))
    return "; ".join(f"{name} {', '.join(sorted({str(other.get(name)) for other in each}))}" for name in keys)
