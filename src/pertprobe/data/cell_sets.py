"""Cell sets: disjoint sets of control cells of one asserted context, all genes named, checked once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from pertprobe.data.h5ad import CellFile
from pertprobe.errors import PertprobeError, listed, number_of, raise_together
from pertprobe.files import atomic
from pertprobe.showing import as_html


@dataclass(frozen=True, eq=False, repr=False)
class CellSets:
    """Disjoint sets of control cells of one context, all genes named."""

    values: np.ndarray
    """Expression, float32 [n_sets, S, G]."""
    genes: tuple[str, ...]
    """Names of the last axis of `values`."""
    batches: np.ndarray | None
    """Batch label of each cell, str [n_sets, S]; None without a batch column."""
    cell_ids: np.ndarray
    """Name of each cell, str [n_sets, S]; no cell occurs twice."""
    context: str
    """The context all cells were asserted to be of."""
    hash: str = ""
    """SHA-256 of all of the above; computed if empty, verified if given."""
    notes: tuple[str, ...] = ()
    """What was decided while reading, such as where gene names come from."""

    def __post_init__(self) -> None:
        """Check shapes, names and the hash; raises `PertprobeError`."""
        object.__setattr__(self, "values", np.ascontiguousarray(self.values, np.float32))
        faults = []
        if self.values.ndim != 3 or self.values.shape[2] != len(self.genes):
            faults.append(f"values have shape {self.values.shape}, [n_sets, S, {len(self.genes)} genes] expected")
        for name, labels in (("cell_ids", self.cell_ids), ("batches", self.batches)):
            if labels is not None and labels.shape != self.values.shape[:2]:
                faults.append(f"{name} have shape {labels.shape}, values {self.values.shape[:2]}")
        for name, labels in (("cells", self.cell_ids.ravel()), ("genes", np.array(self.genes))):
            if twice := repeated(labels):
                faults.append(f"{name} occur twice: {listed(twice)}")
        raise_together(faults, "cell sets: ")
        digest = self._digest()
        if self.hash not in ("", digest):
            raise PertprobeError(
                f"cell sets: hash {self.hash[:12]} was written, {digest[:12]} is found; draw them again"
            )
        object.__setattr__(self, "hash", digest)

    def __repr__(self) -> str:
        """Return what they are in one line."""
        batches = "" if self.batches is None else f", batches {listed(sorted(set(self.batches.ravel())))}"
        sets = f"{self.n_sets} sets of {self.set_size} control cells of {self.context}"
        return f"CellSets: {sets}, {len(self.genes)} genes{batches}"

    def _repr_html_(self) -> str:
        """Return what they are, and what was decided while reading, for a notebook."""
        facts = {
            "context": self.context,
            "cells": f"{number_of(self.n_sets, 'set')} of {self.set_size} control cells, no cell twice",
            "genes": listed(self.genes, 5),
            "batches": "none given" if self.batches is None else listed(sorted(set(self.batches.ravel())), 5),
            "notes": "; ".join(self.notes),
            "hash": self.hash[:12],
        }
        return as_html("CellSets", facts)

    def _digest(self) -> str:
        batches = [] if self.batches is None else self.batches.ravel()
        digest = hashlib.sha256(repr((self.context, self.values.shape)).encode())
        for names in (self.genes, self.cell_ids.ravel(), batches):
            digest.update("\x1f".join(names).encode() + b"\x1e")
        digest.update(self.values.astype("<f4").tobytes())
        return digest.hexdigest()

    @property
    def n_sets(self) -> int:
        """Number of disjoint sets."""
        return self.values.shape[0]

    @property
    def set_size(self) -> int:
        """Cells per set, S."""
        return self.values.shape[1]

    def for_genes(self, genes: Sequence[str]) -> "CellSets":
        """Return the same cells with these genes in this order; raises `PertprobeError` listing those missing."""
        columns, faults = matched_genes(np.array(self.genes), genes, "the cell sets")
        raise_together(faults)
        return replace(self, values=self.values[:, :, columns], genes=tuple(genes), hash="")

    def write(self, path: str | Path) -> None:
        """Write a small h5ad (obs: set, position, batch; uns: context, hash, notes), whole or not at all."""
        from anndata import AnnData

        sets, positions = np.indices(self.cell_ids.shape)
        places = {"set": sets.ravel(), "position": positions.ravel()}
        obs = pd.DataFrame(places, index=self.cell_ids.ravel().astype(object))
        if self.batches is not None:
            obs["batch"] = self.batches.ravel().astype(object)
        uns = {"context": self.context, "hash": self.hash, "notes": np.array(self.notes, dtype=object)}
        values = self.values.reshape(len(obs), len(self.genes))
        with atomic(path) as temporary:
            AnnData(values, obs=obs, var=pd.DataFrame(index=list(self.genes)), uns=uns).write_h5ad(temporary)

    @classmethod
    def load(cls, path: str | Path) -> "CellSets":
        """Read what `write` wrote and verify its hash; raises `PertprobeError`."""
        CellFile(path).close()
        with h5py.File(path) as file:
            obs, uns = file["obs"], file.get("uns", {})
            if not {"context", "hash"} <= set(uns) or not {"set", "position"} <= set(obs):
                raise PertprobeError(
                    f"{path} holds no cell sets written by pertprobe (obs: set, position; uns: context, hash)"
                )
            shape = tuple(_stored(obs[name]).max() + 1 for name in ("set", "position"))
            batches = _stored(obs["batch"]).reshape(shape) if "batch" in obs else None
            ids, genes = (_stored(frame[frame.attrs["_index"]]) for frame in (obs, file["var"]))
            context, digest = (uns[name].asstr()[()] for name in ("context", "hash"))
            values = _stored(file["X"]).reshape(*shape, len(genes))
            return cls(values, tuple(genes), batches, ids.reshape(shape), context, digest, tuple(_stored(uns["notes"])))


def _stored(node: h5py.Dataset | h5py.Group) -> np.ndarray:
    """Return an array as `CellSets.write` left it; anndata takes longer to load than a job takes to read it."""
    if isinstance(node, h5py.Group):
        return _stored(node["categories"])[node["codes"][:]]
    return node.asstr()[:].astype(str) if h5py.check_string_dtype(node.dtype) else node[:]


def matched_genes(names: np.ndarray, genes: Sequence[str] | None, where: str) -> tuple[np.ndarray, list[str]]:
    """Return the columns of the wanted genes by name, and faults: genes missing, asked for twice, ambiguous."""
    wanted = pd.Index(names if genes is None else list(genes))
    twice = set(repeated(names))
    faults = []
    if ambiguous := sorted(twice & set(wanted)):
        faults.append(
            f"{len(ambiguous)} genes occur twice in {where}: {listed(ambiguous)}. Give each column its own name"
        )
    if genes is not None and (again := repeated(wanted.to_numpy())):
        faults.append(f"{len(again)} genes are asked for twice: {listed(again)}")
    if missing := list(wanted[~wanted.isin(names)]):
        faults.append(f"{len(missing)} of {len(wanted)} genes are missing from {where}: {listed(missing)}")
    place = {name: i for i, name in enumerate(names)}
    return np.array([] if faults else [place[name] for name in wanted], int), faults


def repeated(names: np.ndarray) -> list[str]:
    """Return the names that occur more than once, sorted."""
    names = pd.Series(names)
    return sorted(set(names[names.duplicated()]))


def cells_for(model: Any, path: str | Path) -> CellSets:
    """Return the cell sets of a context with genes in the model's order."""
    return CellSets.load(path).for_genes(model.genes)
