"""An h5ad opened without reading its matrices: columns of obs, gene names, and the rows that are asked for.

`anndata.read_h5ad(backed="r")` still loads every obsm into memory (5 GB for 600,000 cells x 2,000 genes), hence h5py.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from pertprobe.errors import PertprobeError, listed, meant
from pertprobe.readers.budget import refuse_pointer

COLUMNS = ("array", "string-array", "categorical", "nullable-integer", "nullable-boolean", "nullable-string-array")
"""Forms of a column that are read; what is written without a form is an array."""
BLOCK_BYTES = 32 * 2**20
"""Upper limit of what is read from a matrix at once (one row or column more)."""
GAP = 64
"""Rows further apart than this are read separately."""

Node = h5py.Dataset | h5py.Group
Block = np.ndarray | sparse.spmatrix
NUMBERS = "fiub"
"""Kinds of numpy's types whose values are real numbers; truth values are 0 and 1."""
KINDS = {"c": "complex numbers", "V": "records"}


class CellFile:
    """An open h5ad; use it as a context manager, so that a damaged file is reported in words."""

    def __init__(self, path: str | Path) -> None:
        """Open `path`; raises `PertprobeError` if it is not a readable h5ad."""
        self.path = Path(path)
        if not self.path.is_file():
            raise PertprobeError(f"{path} does not exist")
        refuse_pointer(self.path, str(path))
        try:
            self._file = h5py.File(path, "r")
            whole = all(isinstance(self._file.get(frame), h5py.Group) for frame in ("obs", "var"))
        except (OSError, RuntimeError, KeyError) as error:
            raise self._damaged(error) from error
        if not whole:
            raise PertprobeError(
                f"{path} is HDF5 but not an h5ad with obs and var of anndata 0.7 or later; write it again"
            )

    def _damaged(self, error: Exception) -> PertprobeError:
        return PertprobeError(
            f"{self.path} cannot be read as an h5ad ({error}); if truncated, copy or download it again"
        )

    def __enter__(self) -> "CellFile":
        """Return the open file."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file; an error of HDF5 inside becomes a message."""
        self.close()
        absent = kind is KeyError and "Unable to" in str(error)
        if absent or isinstance(error, OSError | RuntimeError | UnicodeDecodeError):
            raise self._damaged(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def index(self, frame: str) -> np.ndarray:
        """Return the names of cells (`obs`) or genes (`var`) as str."""
        return self.column(frame, self._said(frame, "_index"))

    def columns(self, frame: str) -> list[str]:
        """Return the names of the columns of `obs` or `var`."""
        return [str(name) for name in self._said(frame, "column-order")]

    def _said(self, frame: str, what: str) -> Any:
        """Return what a frame says of its columns; raises `PertprobeError` where it does not."""
        try:
            return self._file[frame].attrs[what]
        except KeyError as error:
            raise self._damaged(KeyError(f"{frame} does not say its {what}")) from error

    def column(self, frame: str, name: str) -> np.ndarray:
        """Return one column of `obs` or `var` as str, missing values as ""."""
        from pandas import Series

        group = self._file[frame]
        values = Series(read_column(group[name], f"{frame}['{name}']"))
        if name in group.get("__categories", ()):  # how anndata before 0.8 stores categories
            names = read_column(group["__categories"][name], f"the categories of {frame}['{name}']")
            values = values.map(dict(enumerate(names)))
        return values.astype(object).where(values.notna(), "").to_numpy().astype(str)

    def labels(self, frame: str, name: str) -> set[str]:
        """Return the different values of a column of `obs` or `var` as str; of a categorical one its categories."""
        node = self._file[frame][name]
        if isinstance(node, h5py.Group) and "categories" in node:
            return set(np.asarray(read_column(node["categories"], f"{frame}['{name}']")).astype(str))
        return set(self.column(frame, name))

    def _folder(self, name: str) -> Mapping[str, Any]:
        """Return a folder of the file; an empty one where there is none, or something else in its place."""
        found = self._file.get(name)
        return found if isinstance(found, h5py.Group) else {}

    def spaces(self) -> dict[str, Node]:
        """Return the matrices of the file by name: X, layers/NAME, and the keys of obsm."""
        found = {"X": self._file["X"]} if "X" in self._file else {}
        found |= {f"layers/{name}": node for name, node in self._folder("layers").items()}
        found |= dict(self._folder("obsm").items())
        return {name: node for name, node in found.items() if _layout(node) != "other"}

    def space(self, name: str) -> Node:
        """Return the matrix called `name` (a layer also by its bare name)."""
        spaces = self.spaces()
        for key in (name, f"layers/{name}", name.removeprefix("obsm/")):
            if key in spaces:
                _check_numbers(name, spaces[key])
                return spaces[key]
        raise PertprobeError(f"space '{name}' is not in the file (found: {listed(spaces)}).{meant(name, spaces)}")

    def gene_names(self, space: str, source: str | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the names of the space's columns and notes on where they come from.

        `source` is None (automatic), "var", "var:COLUMN" or "uns:KEY". X and layers have var's names. An obsm has its
        own (a DataFrame's columns) or takes those of var (its highly_variable mask, or all) or uns; sources that
        disagree are refused. Raises `PertprobeError`.
        """
        node = self.space(space)
        if source is None and _layout(node) == "dataframe":
            return np.array([str(name) for name in node.attrs["column-order"]]), ()
        if node.name == "/X" or node.name.startswith("/layers/"):
            return self._names_from(source or "var", shape(node)[1], space)[0], ()
        space = node.name.removeprefix("/obsm/")
        if source is not None:
            names, where = self._names_from(source, shape(node)[1], space)
            return names, (f"genes of obsm['{space}'] are named by {where}",)
        return self._guessed_names(space, shape(node)[1])

    def _names_from(self, source: str, n: int, space: str) -> tuple[np.ndarray, str]:
        """Return the n names that `source` gives and where exactly they were found."""
        (kind, _, key), uns = source.partition(":"), self._folder("uns")
        if kind == "uns" and key in uns:
            names, where = np.asarray(read_column(uns[key], f"uns['{key}']")).astype(str), f"uns['{key}']"
        elif kind == "var" and (not key or key in self.columns("var")):
            names, where = (self.column("var", key), f"var['{key}']") if key else (self.index("var"), "var_names")
            if len(names) != n and "highly_variable" in self.columns("var"):
                mask = self.column("var", "highly_variable") == "True"
                names, where = names[mask], f"{where}[var.highly_variable]"
        else:
            known = ["var", *(f"var:{name}" for name in self.columns("var")), *(f"uns:{name}" for name in uns)]
            raise PertprobeError(f"gene names '{source}' are not in the file (found: {listed(known)})")
        if names.shape != (n,):
            raise PertprobeError(f"space '{space}' has {n} columns, but {where} holds {names.size} names")
        return names, where

    def _guessed_names(self, space: str, n: int) -> tuple[np.ndarray, tuple[str, ...]]:
        bare = space.removeprefix("X_")
        keys = dict.fromkeys(
            ("hvg_names", *(f"{name}_{end}" for name in (space, bare) for end in ("names", "genes", "var_names")))
        )
        found = []
        for source in ("var", *(f"uns:{key}" for key in keys)):
            with suppress(PertprobeError):
                found.append((source, *self._names_from(source, n, space)))
        if not found:
            names = np.array([f"{space}_{i}" for i in range(n)])
            return names, (f"obsm['{space}'] names no genes: its columns are called {names[0]} to {names[-1]}",)
        for source, names, where in found[1:]:
            if (names != found[0][1]).any():
                at = int(np.argmax(names != found[0][1]))
                raise PertprobeError(
                    f"gene names of obsm['{space}'] are uncertain: {found[0][2]} and {where} disagree, first in column "
                    f"{at} ({found[0][1][at]} against {names[at]}). Set genes to '{found[0][0]}' or '{source}'"
                )
        return found[0][1], (f"obsm['{space}'] has no gene names of its own: taken from {found[0][2]}",)


def read_column(node: Node, where: str) -> Any:
    """Return a row of values by anndata's reader; raises `PertprobeError` where it is none, or contradicts itself."""
    from anndata.io import read_elem

    kind = node.attrs.get("encoding-type", "array" if isinstance(node, h5py.Dataset) else "group")
    if kind not in COLUMNS or (isinstance(node, h5py.Dataset) and node.ndim != 1):
        raise PertprobeError(f"{where} is stored as '{kind}', which is no column. Write it again with anndata")
    try:
        return read_elem(node)
    except (OSError, MemoryError):  # of the file and the machine, not of what it says
        raise
    except Exception as error:  # codes without a category, masks too short, anndata's own for versions it does not know
        words = " ".join(str(error).split())[:200]
        raise PertprobeError(f"{where} is damaged ({words}). Write it again with anndata") from error


def check_sparse(data: np.ndarray, indices: np.ndarray, pointers: np.ndarray, width: int, where: str) -> None:
    """Raise `PertprobeError` unless rows of a sparse matrix are whole: scipy reads and writes where they say, unseen.

    Args:
        data: values [n].
        indices: the column of each [n].
        pointers: where each row begins [rows + 1], from 0.
        width: number of columns.
        where: name of the matrix.
    """
    fault = ""
    if (np.diff(pointers) < 0).any() or pointers[-1] != len(data) or len(indices) != len(data):
        fault = f"rows that end before they begin, or {len(data)} values at {len(indices)} places"
    elif len(indices) and not 0 <= (wrong := _furthest(indices, width)) < width:
        fault = f"a value at the place {wrong} of {width}"
    if fault:
        raise PertprobeError(f"{where.removeprefix('/')} is damaged: {fault}. Copy the file again, or write it anew")


def _furthest(indices: np.ndarray, width: int) -> int:
    low, high = int(indices.min()), int(indices.max())
    return high if high >= width else low


def shape(node: Node) -> tuple[int, int]:
    """Return rows and columns of a matrix in the file."""
    if _layout(node) == "dataframe":
        return node[node.attrs["_index"]].shape[0], len(node.attrs["column-order"])
    rows, columns = node.shape if isinstance(node, h5py.Dataset) else node.attrs["shape"]
    return int(rows), int(columns)


def _check_numbers(name: str, node: Node) -> None:
    """Raise PertprobeError for a matrix of anything but real numbers, and for a data frame with such a column."""
    if _layout(node) == "dataframe":
        columns = {str(column): node[column] for column in node.attrs["column-order"]}
        other = [column for column, each in columns.items()
                 if not isinstance(each, h5py.Dataset) or each.dtype.kind not in NUMBERS]  # fmt: skip
        if other:
            words = f"columns of text or categories ({listed(other, 3)}), real numbers are expected"
            raise PertprobeError(f"space '{name}' holds {words}")
        return
    kind = (node if isinstance(node, h5py.Dataset) else node["data"]).dtype
    if kind.kind not in NUMBERS:
        raise PertprobeError(f"space '{name}' holds {KINDS.get(kind.kind, 'text')}, real numbers are expected")


def by_columns(node: Node) -> bool:
    """Return whether the matrix is stored column by column (CSC), so that rows cost the whole of it."""
    return _layout(node) == "csc_matrix"


def take(node: Node, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the given rows and columns, in the given order, as float32 [rows, columns]."""
    order = np.argsort(rows)
    values = np.empty((len(rows), len(columns)), np.float32)
    for cells, genes, block in _blocks(node, rows[order], columns):
        values[np.ix_(order[cells], genes)] = _dense(block)
    return values


def group_sums(node: Node, rows: np.ndarray, groups: np.ndarray, columns: np.ndarray, n_groups: int) -> np.ndarray:
    """Return each group's sum of rows as float64 [n_groups, columns], read in blocks; `groups` codes ascending `rows`.

    A group without a row has the sum 0.
    """
    sums = np.zeros((n_groups, len(columns)))
    for cells, genes, block in _blocks(node, rows, columns):
        member = sparse.csr_matrix((np.ones(len(cells)), (groups[cells], range(len(cells)))), (n_groups, len(cells)))
        sums[:, genes] += _dense(member @ block)
    return sums


def chunks(node: Node, rows: np.ndarray, columns: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the wanted part as float64 [some rows, columns], each of `BLOCK_BYTES` at most (or one row)."""
    size = max(1, BLOCK_BYTES // (8 * max(1, len(columns))))
    for start in range(0, len(rows), size):
        yield take(node, rows[start : start + size], columns).astype(np.float64)


def tiles(node: Node, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (positions in `rows`, positions in `columns`, float32 values) that tile the wanted part; `rows` ascend.

    Each tile has `BLOCK_BYTES` at most, or one row; every wanted cell is in as many tiles as its columns were cut into.
    """
    for cells, genes, block in _blocks(node, rows, columns):
        size = max(1, BLOCK_BYTES // (32 * max(1, len(genes))))
        for start in range(0, len(cells), size):
            part = slice(start, start + size)
            yield cells[part], genes, np.asarray(_dense(block[part]), np.float32)


def _layout(node: Node) -> str:
    if isinstance(node, h5py.Dataset):
        return "dense" if node.ndim == 2 else "other"
    encoding = node.attrs.get("encoding-type", "other")
    return encoding if encoding in ("csr_matrix", "csc_matrix", "dataframe") else "other"


def _dense(block: Block) -> np.ndarray:
    return block.toarray() if sparse.issparse(block) else block


def _blocks(node: Node, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, Block]]:
    """Yield (positions in `rows`, positions in `columns`, block) that tile the wanted part; `rows` ascend."""
    everything = np.arange(len(columns))
    if not by_columns(node):
        for cells in _windows(node, rows):
            first, last = rows[cells[0]], rows[cells[-1]]
            yield cells, everything, _stretch(node, first, last + 1)[rows[cells] - first][:, columns]
        return
    order = np.argsort(columns)
    for part in _windows(node, columns[order]):
        genes = order[part]
        first = columns[genes[0]]
        block = _stretch(node, first, columns[genes[-1]] + 1)
        yield np.arange(len(rows)), genes, block.T.tocsc()[rows][:, columns[genes] - first]


def _windows(node: Node, wanted: np.ndarray) -> list[np.ndarray]:
    """Split positions in the ascending `wanted` into stretches of the file that are worth reading at once."""
    if not len(wanted):
        return []
    if _layout(node) in ("csr_matrix", "csc_matrix"):
        offset = node["indptr"][:][wanted] * (node["data"].dtype.itemsize + node["indices"].dtype.itemsize)
    else:
        offset = wanted.astype(np.int64) * shape(node)[1] * 8
    cut = (np.diff(offset // BLOCK_BYTES) != 0) | (np.diff(wanted) > GAP)
    return np.split(np.arange(len(wanted)), np.flatnonzero(cut) + 1)


def _stretch(node: Node, start: int, stop: int) -> Block:
    """Return rows (of CSC: columns, as rows) from start to stop."""
    if isinstance(node, h5py.Dataset):
        return node[start:stop]
    if _layout(node) == "dataframe":
        return np.column_stack([node[name][start:stop] for name in node.attrs["column-order"]])
    pointers = node["indptr"][start : stop + 1]
    inside = slice(pointers[0], pointers[-1])
    width = shape(node)[0] if by_columns(node) else shape(node)[1]
    parts = node["data"][inside], node["indices"][inside], pointers - pointers[0]
    check_sparse(*parts, width, node.name)
    return sparse.csr_matrix(parts, shape=(stop - start, width))
