"""What is kept of whole Jacobians under many perturbations: their count sketches, which keep inner products.

Each entry is added, with a random sign, to one of m sums drawn for it (Charikar, Chen & Farach-Colton 2002; as
feature hashing: Weinberger et al. 2009). The map is linear, so that differences and what is left without a mean are
sketched as well as the vectors themselves. The inner product of two sketches has the vectors' own as its mean, over
draws of the map, and a variance of at most (|x|^2 |y|^2 + <x, y>^2) / m: a cosine c is off by sqrt((1 + c^2) / m) at
most, in standard deviations, and a squared norm by sqrt(2 / m) of itself.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pertprobe.batching import BLOCK, chunked, counted
from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.interpret.jacobian import (
    Point,
    cells_point,
    check_multiplicity,
    feature_jacobian,
    jacobian_cores,
    mean_cell_point,
    panel_jacobian,
    respond,
    routing_jacobian,
)
from pertprobe.interpret.jacobian.points import cell_weights
from pertprobe.models.base import Model, encode_each
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator


class CountSketch(NamedTuple):
    """A map from n numbers to at most `size`."""

    size: int
    buckets: Tensor | None
    """Which sum each entry is added to [n]; None = the vector is short enough to be kept as it is."""
    signs: Tensor | None
    """1 or -1 for each entry [n]."""

    def of(self, values: Tensor, start: int = 0) -> Tensor:
        """Return the sketch [..., size] of vectors [..., n], or of the part of longer ones that begins at `start`.

        The sketch of a vector is the sum of its parts' sketches.
        """
        part = slice(start, start + values.shape[-1])
        found = values.new_zeros(*values.shape[:-1], self.size)
        if self.buckets is None:
            found[..., part] = values
            return found
        return found.index_add_(-1, self.buckets[part].to(values.device), values * self.signs[part].to(values))


@lru_cache(maxsize=2)
def sample_sketch(n: int, size: int, seed: int, *names: object) -> CountSketch:
    """Return the map of n numbers that these names draw; the numbers themselves where they are no more than `size`."""
    if n <= size:
        return CountSketch(n, None, None)
    rng = generator(seed, "sketch", n, size, *names)
    buckets = torch.as_tensor(rng.integers(size, size=n))
    return CountSketch(size, buckets, torch.as_tensor(2.0 * rng.integers(2, size=n) - 1.0))


ENTRIES = 4_000_000
"""Entries of whole Jacobians held at once, where they are made from their factors."""


class Place(NamedTuple):
    """Where derivatives are taken."""

    point: Point
    batch: str
    """The batch label of the mean cell; empty where each cell has its own."""


def place(model: Model, cells: CellSets, settings: Mapping[str, Any], role: str) -> Place:
    """Return the point that a probe's settings ask for: `at`, `cells` of a set, and of which `derivative` it is.

    Untrained copies have all the sets of the model: with fewer, their similarities would hold more noise than its own.
    """
    control = model.encode_perturbations([model.control])[0]
    cells = regrouped(cells, settings.get("cells"))
    values, batches = cells.values, cells.batches
    if settings.get("at", "mean_cell") == "cells":
        return Place(cells_point(values, model.batch_indices(batches), control), "")
    label = commonest(cells.batches)
    indices = model.batch_indices(np.array([label])) if label else None
    batch = None if indices is None else int(indices[0])
    point = mean_cell_point(values, batch, control, settings.get("derivative", "total"))
    if role == SUBJECT:
        check_multiplicity(model, control, point)
    return Place(point, label)


def regrouped(cells: CellSets, size: int | None) -> CellSets:
    """Return the cells in sets of another size: sets are joined, or cut, in their order; cells left over are not used.

    Raises:
        PertprobeError: there are fewer cells in all.
    """
    n_sets, current = cells.values.shape[:2]
    if size is None or size == current:
        return cells
    if size > n_sets * current:
        raise PertprobeError(
            f"cells: {size} cells a set are asked for, there are {n_sets} sets of {current} in {cells.context}. Raise "
            "cells.<context>.n_sets or set_size, or ask for fewer"
        )
    number = n_sets * current // size

    def cut(values: np.ndarray | None) -> np.ndarray | None:
        """Return what belongs to cells, in sets of the size asked for."""
        if values is None:
            return None
        flat = values.reshape(n_sets * current, *values.shape[2:])[: number * size]
        return flat.reshape(number, size, *values.shape[2:])

    parts = {name: cut(getattr(cells, name)) for name in ("values", "batches", "cell_ids")}
    return replace(cells, **parts, hash="")


def commonest(batches: np.ndarray | None) -> str:
    """Return the most frequent batch label, the first in order of names among equals; empty without labels."""
    if batches is None:
        return ""
    counts = Counter(batches.ravel().tolist())
    return min(counts, key=lambda label: (-counts[label], label))


class Sketching(NamedTuple):
    """How derivatives are made and sketched."""

    size: int
    """Numbers m that are kept of each."""
    seed: int
    memory_gb: float
    """Bound on what is held at once."""


def routing_sketches(
    model: Model, names: Sequence[str], at: Place, how: Sketching, *, by_features: bool
) -> Iterator[dict[str, Tensor]]:
    """Yield, for blocks of the perturbations called `names`, numbers of each, its axis first.

    routing [P, n_sets, m]: the sketch of dY/dcode, mean over the cells of each set. delta_y [P, n_sets, G_out]: what
    the same cells answer, less their answer under the control. onehot [P, m], if asked for `by_features` and where
    codes are made of these: the sketch of dY/dfeatures, mean over sets.
    """
    by_features = by_features and "code_features" in model.capabilities
    quiet = _mean_response(model, at.point, model.encode_perturbations([model.control]))
    for block in _blocks(names):
        codes = encode_each(model, block)
        J = routing_jacobian(model, codes, at.point, memory_gb=how.memory_gb)
        sketch = sample_sketch(J[0, 0].numel(), how.size, how.seed, "routing")
        found = {"routing": sketch.of(J.flatten(2)), "delta_y": _mean_response(model, at.point, codes) - quiet}
        if by_features:
            found["onehot"] = torch.stack(
                [_by_features(model, name, each, how) for name, each in zip(block, J.mean(1), strict=True)]
            )
        yield found


def _by_features(model: Model, name: str, J: Tensor, how: Sketching) -> Tensor:
    """Return the sketch [m] of dY/dfeatures = dY/dcode times the encoder's own derivative; J [G_out, H]."""
    whole = J @ feature_jacobian(model, [name])[0].to(J)
    return sample_sketch(whole.numel(), how.size, how.seed, "onehot").of(whole.flatten())


def _mean_response(model: Model, point: Point, codes: Tensor) -> Tensor:
    """Return the mean output of the point's cells under each code [P, n_sets, G_out]."""
    weight = cell_weights(point)[..., None]
    return torch.stack([(weight * respond(model, code, point)).sum(-2) for code in codes])


def causal_sketches(
    model: Model, names: Sequence[str], at: Place, genes: Sequence[str], how: Sketching
) -> Iterator[dict[str, Tensor]]:
    """Yield, for blocks of perturbations, causal [P, n_sets, m]: sketches of dY/dX at the mean cell.

    Between `genes` alone, inputs and outputs in this order, so that models of other genes have the same map. No whole
    Jacobian is ever held: rows are made from the factors, of a model without `linear_ends` by reverse mode, and added
    to the sketch, some at a time.
    """
    rows, columns = ([listed.index(name) for name in genes] for listed in (model.output_genes, model.genes))
    sketch = sample_sketch(len(genes) ** 2, how.size, how.seed, "causal", basis(genes))
    for block in _blocks(names):
        rows_of = _rows_of(model, encode_each(model, block), at.point, columns, how.memory_gb)
        chunk = max(1, ENTRIES // (len(block) * len(at.point.X) * len(columns)))
        total = 0.0
        for start in range(0, len(rows), chunk):
            part = rows_of(rows[start : start + chunk])
            total = total + sketch.of(part.flatten(-2), start * len(columns))
        yield {"causal": total}


def _rows_of(
    model: Model, codes: Tensor, point: Point, columns: Sequence[int], memory_gb: float
) -> Callable[[Sequence[int]], Tensor]:
    """Return what gives some rows of the Jacobians, at some columns [P, n_sets, rows, columns]."""
    if "linear_ends" not in model.capabilities:
        return lambda rows: panel_jacobian(model, codes, point, rows, columns, memory_gb=memory_gb).values
    cores = jacobian_cores(model, codes, point, memory_gb=memory_gb)
    return lambda rows: cores.outputs(rows).entries(range(len(rows)), columns)


def basis(genes: Sequence[str]) -> str:
    """Return what tells one list of genes from another."""
    return hashlib.sha256("\n".join(genes).encode()).hexdigest()[:16]


def _blocks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return the perturbations whose Jacobians are held at once, which no shard parts."""
    return counted(chunked(names, BLOCK), f"sketches, blocks of {BLOCK} perturbations")
