"""The cells: counts drawn around the plan, written a block of perturbations at a time, with the mean of each."""

from pathlib import Path
from typing import NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd

from pertprobe.files import atomic
from pertprobe.seeding import generator
from published_size.plan import CONTEXTS, CONTROL, SEED, Plan, Sizes

SPREAD = 0.5
"""Standard deviation of a cell along each axis of variation."""
DEPTH = 2.0
"""Counts of a gene and cell, on average: half of the values are zero."""
BLOCK = 64
"""Perturbations drawn at a time."""


class Group(NamedTuple):
    """Cells of one context that were treated alike."""

    context: str
    perturbation: str
    cells: int


def write_cells(plan: Plan, sizes: Sizes, path: Path) -> None:
    """Write the h5ad: obs gene, cell_line, gem_group; obsm X_hvg, log1p of counts at a common depth; no X."""
    groups = _groups(plan, sizes)
    labels = pd.DataFrame(
        {
            "gene": np.repeat([each.perturbation for each in groups], [each.cells for each in groups]),
            "cell_line": np.repeat([each.context for each in groups], [each.cells for each in groups]),
        }
    )
    labels["gem_group"] = [str(1 + i % sizes.batches) for i in range(len(labels))]
    labels.index = [f"cell{i}" for i in range(len(labels))]
    var = pd.DataFrame({"highly_variable": True}, index=list(plan.genes))
    with atomic(path) as temporary:
        anndata.AnnData(obs=labels.astype("category"), var=var).write_h5ad(temporary)
        with h5py.File(temporary, "a") as file:
            values = file["obsm"].create_dataset(
                "X_hvg", (len(labels), sizes.genes), "float32", chunks=(256, sizes.genes)
            )
            values.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            _fill(values, plan, sizes, groups)


def _groups(plan: Plan, sizes: Sizes) -> list[Group]:
    """Return the groups of each context, its control cells first."""
    return [
        Group(context, name, sizes.control_cells if name == CONTROL else sizes.cells)
        for context in CONTEXTS
        for name in (CONTROL, *plan.perturbations)
    ]


def _fill(values: h5py.Dataset, plan: Plan, sizes: Sizes, groups: list[Group]) -> None:
    """Draw and write all cells, some groups at a time."""
    row = dict(zip(plan.perturbations, range(len(plan.perturbations)), strict=True))
    start = 0
    for first in range(0, len(groups), BLOCK):
        block = groups[first : first + BLOCK]
        effects = [
            np.zeros(sizes.genes)
            if each.perturbation == CONTROL
            else plan.effects[each.context][row[each.perturbation]]
            for each in block
        ]
        context = [each.context for each in block]
        drawn = [
            draw(plan, sizes, where, effect, each.cells, np.random.default_rng([SEED, first + i]))
            for i, (each, where, effect) in enumerate(zip(block, context, effects, strict=True))
        ]
        together = np.concatenate(drawn)
        values[start : start + len(together)] = together
        start += len(together)


def draw(
    plan: Plan, sizes: Sizes, context: str, effect: np.ndarray, cells: int, rng: np.random.Generator
) -> np.ndarray:
    """Return cells [cells, genes] of a context with a change [genes] of log expression, as log1p at a common depth."""
    base = generator(SEED, "base").normal(0, 1.0, sizes.genes) + generator(SEED, "base", context).normal(
        0, 0.3, sizes.genes
    )
    varied = rng.normal(0, SPREAD, (cells, len(plan.axes))) @ plan.axes
    doses = rng.beta(4.0, 1.2, (cells, 1))
    rate = np.exp(base + varied + doses * effect)
    depth = rng.gamma(8.0, DEPTH * sizes.genes / 8.0, (cells, 1))
    counts = rng.poisson(depth * rate / rate.sum(1, keepdims=True)).astype(np.float32)
    return np.log1p(counts / counts.sum(1, keepdims=True).clip(min=1) * DEPTH * sizes.genes)
