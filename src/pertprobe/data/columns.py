"""Which gene a column is, where its name was borrowed: each decided by itself against X under the same names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pertprobe.data.cells import CellSource, labelled_cells
from pertprobe.data.findings import Finding
from pertprobe.data.h5ad import CellFile, take
from pertprobe.errors import listed
from pertprobe.statistics.ranks import average_ranks

CELLS = 512
"""Cells in which columns are compared."""
AGREES = 0.5
"""Rank correlation over cells from which two columns may be one gene: dividing a cell by its total and taking
logarithms keep most of the order of cells, names of other columns do not."""
WHOLE = 0.8
"""Median over columns from which X holds the same values, so that a column that agrees with none of X's is wrong too;
below it the space was corrected, and such a column tells nothing."""
ENOUGH = 5
"""Cells that must exceed a column's smallest value before it says something."""


class Agreement(NamedTuple):
    """How columns agree with those of X that have their names."""

    genes: tuple[str, ...]
    r: np.ndarray
    """Rank correlation over cells of each; nan where a column does not vary enough to tell."""
    nearest: tuple[str, ...]
    """The gene of X that agrees best with each."""
    r_nearest: np.ndarray

    def wrong(self) -> np.ndarray:
        """Return the positions of columns that are another gene's, or agree with none where all others do."""
        same = bool(np.isfinite(self.r).any()) and np.nanmedian(self.r) >= WHOLE
        return np.flatnonzero((self.r < AGREES) & (same | (self.r_nearest >= AGREES)))

    def undecided(self) -> list[str]:
        """Return the genes whose columns do not agree with X, and of which nothing says that they should."""
        told = self.r >= AGREES
        told[self.wrong()] = True
        return [name for name, each in zip(self.genes, told, strict=True) if not each]


def borrowed_names(file: CellFile, source: CellSource, genes: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """Return the genes whose columns have borrowed names and what these are, or None where a column has its own."""
    names, notes = file.gene_names(source.space, source.gene_names)
    wanted = set(genes)
    return (tuple(name for name in map(str, names) if name in wanted), notes[0]) if notes else None


def agreement(path: str | Path, genes: Sequence[str], **source: Any) -> Agreement:
    """Compare columns of a space with those of X that have their names, in a sample of the context's cells.

    `source` are the fields of `CellSource`. Genes without a column of their name in both are left out.
    """
    where = CellSource(**source)
    with CellFile(path) as file:
        rows = labelled_cells(file, where)[0].index.to_numpy()
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, CELLS).astype(int))] if len(rows) else rows
        spaces = (where.space, where.gene_names), ("X", None)
        places = [{str(name): i for i, name in enumerate(file.gene_names(*each)[0])} for each in spaces]
        shared = [name for name in genes if all(name in place for place in places)]
        sides = [
            take(file.space(space), rows, np.array([place[name] for name in shared], int))
            for (space, _), place in zip(spaces, places, strict=True)
        ]
    ranks = [_standard_ranks(values) for values in sides]
    r = ranks[0].T @ ranks[1]
    varied = _varied(sides[0]) & _varied(sides[1])
    r_others = np.where(_varied(sides[1]), r, -1)
    nearest = tuple(shared[i] for i in r_others.argmax(axis=1)) if shared else ()
    return Agreement(tuple(shared), np.where(varied, r.diagonal(), np.nan), nearest, r_others.max(axis=1, initial=-1))


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks over cells [cell, gene] less their mean, of length 1; 0 where a column is constant."""
    ranks = average_ranks(values.T, axis=1).T
    ranks = ranks - ranks.mean(axis=0)
    size = np.linalg.norm(ranks, axis=0)
    return np.divide(ranks, size, out=np.zeros_like(ranks), where=size > 0)


def _varied(values: np.ndarray) -> np.ndarray:
    """Return whether enough cells exceed a column's smallest value."""
    return (values > values.min(axis=0, initial=np.inf)).sum(axis=0) >= ENOUGH


def column_findings(key: str, path: str | Path, genes: Sequence[str], **source: Any) -> Iterator[Finding]:
    """Yield what is to be said of the names of columns: which are wrong, and which nothing in the file decides."""
    where = CellSource(**source)
    with CellFile(path) as file:
        borrowed = borrowed_names(file, where, genes)
        has_x = "X" in file.spaces() and file.space("X").name != file.space(where.space).name
    if borrowed is None:
        words = f"columns of space '{where.space}' have names of their own: nothing else in the file tells them"
        yield Finding(key, "genes_of_columns", "good", 0, len(genes), words)
        return
    names, taken = borrowed
    found = agreement(path, names, **source) if has_x else Agreement((), np.zeros(0), (), np.zeros(0))
    wrong = found.wrong()
    if len(wrong):
        shown = [f"{found.genes[i]} (r {found.r[i]:.2f}; most like {found.nearest[i]})" for i in wrong]
        words = f"{taken}, but {len(wrong)} of {len(names)} columns do not agree with X under these names: "
        yield Finding(key, "genes_of_columns", "fault", len(wrong), len(names), f"{words}{listed(shown, 5)}. Set genes")
    undecided = {*names} - {*found.genes} | {*found.undecided()}
    open_ = [name for name in names if name in undecided]
    if open_:
        words = f"{taken}; nothing in X decides {len(open_)} of {len(names)} of them: {listed(open_, 5)}"
        yield Finding(key, "genes_of_columns", "uncheckable", len(open_), len(names), words)
    elif not len(wrong):
        yield Finding(key, "genes_of_columns", "good", 0, len(names), "every column agrees with X under its name")
