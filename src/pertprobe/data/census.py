"""One pass over all cells that a run uses, in blocks: what every cell and every group of cells holds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from pertprobe.data.cells import CellSource, labelled_cells
from pertprobe.data.h5ad import CellFile, tiles
from pertprobe.seeding import generator

GROUP = ["batch", "perturbed"]
"""What tells groups of cells whose scale is compared; `batch` is empty without a column of batches."""
PER_CELL = {"total": 0.0, "largest": -np.inf, "smallest": np.inf, "n_bad": 0, "n_expressed": 0, "n_whole": 0}
"""What is kept of each cell, and where it starts from."""

MIXING = np.uint64(0x9E3779B97F4A7C15)
"""Spreads the bits of a value over 64 (Fibonacci hashing): those of small whole numbers are few and high."""


class Census(NamedTuple):
    """What one context holds, counted over all its cells and the columns that models read."""

    cells: pd.DataFrame
    """A row per labelled cell, by its row in the file: cell, perturbation, batch, perturbed; the sum (total), largest
    and smallest of its finite values; how many values are not finite (n_bad), not zero (n_expressed), and of these
    whole numbers (n_whole); `code`, alike for cells that hold the same values."""
    genes: tuple[str, ...]
    """Names of the columns counted."""
    n_bad: np.ndarray
    """Of each column, cells whose value is not finite, int [gene]."""
    groups: pd.DataFrame
    """`GROUP` and n_cells of each group."""
    means: np.ndarray
    """Mean of the finite values over each group's cells, float64 [group, gene]."""
    n_unlabelled: int
    """Cells of the context without a perturbation, which nothing reads."""

    def control_mean(self) -> np.ndarray:
        """Return the mean of all control cells, float64 [gene]."""
        weights = np.where(self.groups["perturbed"], 0, self.groups["n_cells"]).astype(float)
        return weights @ self.means / max(weights.sum(), 1)


def take_census(path: str | Path, genes: Sequence[str] | None = None, **source: Any) -> Census:
    """Count all labelled cells of one context, block by block.

    Args:
        path: an h5ad.
        genes: columns to count, those that the space has of them; None takes all.
        source: the fields of `CellSource`.

    Raises:
        PertprobeError: the columns of obs or the space are not in the file.
    """
    where = CellSource(**source)
    with CellFile(path) as file:
        cells, n_unlabelled = labelled_cells(file, where)
        node, (names, _) = file.space(where.space), file.gene_names(where.space, where.gene_names)
        wanted = set(names if genes is None else genes)
        columns = np.array([i for i, name in enumerate(names) if name in wanted], int)
        grouped = cells.groupby(GROUP, sort=True)
        groups, group_of = grouped.size().rename("n_cells").reset_index(), grouped.ngroup().to_numpy()
        counted, sums, n_bad = _counted(
            tiles(node, cells.index.to_numpy(), columns), group_of, len(groups), len(columns)
        )
    means = sums / groups["n_cells"].to_numpy(float)[:, None]
    return Census(cells.assign(**counted), tuple(map(str, names[columns])), n_bad, groups, means, n_unlabelled)


def _counted(
    found: Iterator[tuple[np.ndarray, ...]], group_of: np.ndarray, n_groups: int, n_columns: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return what is kept of each cell, and the sums [group, gene] and counts of bad values [gene]."""
    n, weights = len(group_of), _weights(n_columns)
    kept = {name: np.full(n, start) for name, start in PER_CELL.items()} | {"code": np.zeros(n, np.uint64)}
    sums, n_bad = np.zeros((n_groups, n_columns)), np.zeros(n_columns, int)
    for cells, genes, values in found:
        bad = ~np.isfinite(values)
        if bad.any():
            n_bad[genes] += bad.sum(axis=0)
            kept["n_bad"][cells] += bad.sum(axis=1)
            values = np.where(bad, 0, values)
        _count_tile(kept, cells, values, weights[genes])
        member = sparse.csr_matrix((np.ones(len(cells)), (group_of[cells], range(len(cells)))), (n_groups, len(cells)))
        sums[:, genes] += member @ values
    return kept, sums, n_bad


def _count_tile(kept: dict[str, np.ndarray], cells: np.ndarray, values: np.ndarray, weights: np.ndarray) -> None:
    """Add one tile of finite values [cells, genes] to what is kept of its cells."""
    kept["total"][cells] += values.sum(axis=1, dtype=np.float64)
    kept["largest"][cells] = np.maximum(kept["largest"][cells], values.max(axis=1, initial=-np.inf))
    kept["smallest"][cells] = np.minimum(kept["smallest"][cells], values.min(axis=1, initial=np.inf))
    expressed = values != 0
    kept["n_expressed"][cells] += expressed.sum(axis=1)
    kept["n_whole"][cells] += ((values == np.rint(values)) & expressed).sum(axis=1)
    # Sums of whole numbers modulo 2^64 depend neither on the order of columns nor on how a file is cut into tiles.
    bits = (values + np.float32(0)).view(np.uint32).astype(np.uint64) * MIXING  # -0 is 0
    kept["code"][cells] += ((bits ^ (bits >> np.uint64(29))) * weights).sum(axis=1, dtype=np.uint64)


def _weights(n: int) -> np.ndarray:
    """Return an odd random number of 64 bits for each column."""
    return generator(0, "census").integers(2**64, size=n, dtype=np.uint64) | np.uint64(1)
