"""An h5ad is whole: names, columns and matrices are as long as each other says, and every place named is there."""

from collections.abc import Collection, Iterator

import h5py
import numpy as np

from pertprobe.readers.budget import FREE_BYTES, GROWTH, Damaged, Refused
from pertprobe.readers.hdf5 import NUMBERS, Beat, blocks, check_links, check_stored

SPARSE = ("csr_matrix", "csc_matrix")
NULLABLE = ("nullable-integer", "nullable-boolean", "nullable-string-array")
Node = h5py.Dataset | h5py.Group


class WholeCheck:
    """Goes through an open file, and raises `Refused` or `Damaged` at the first part that is not whole."""

    def __init__(self, file: h5py.File, size: int, beat: Beat) -> None:
        """Take a file of `size` bytes; `beat` is called whenever a step is done."""
        self.file, self.size, self.beat = file, size, beat
        self.letters = 0

    def run(self, spaces: Collection[str] | None) -> None:
        """Check links, frames and the shapes of all matrices; and all values of `spaces` (None: of none)."""
        check_links(self.file, self.beat)
        if not all(isinstance(self.file.get(frame), h5py.Group) for frame in ("obs", "var")):
            return  # whoever opens it says so
        rows, columns = (self.frame(self.file[name]) for name in ("obs", "var"))
        for name, node in self.matrices():
            self.matrix(node, rows, None if name.startswith("obsm/") else columns)
            if spaces and {name, name.partition("/")[2]} & set(spaces):
                self.values(node)

    def matrices(self) -> Iterator[tuple[str, Node]]:
        """Yield X, the layers and what obsm holds, with their names in the file."""
        if "X" in self.file:
            yield "X", self.file["X"]
        for folder in ("layers", "obsm"):
            group = self.file.get(folder)
            for name in group if isinstance(group, h5py.Group) else ():
                yield f"{folder}/{name}", group[name]

    def frame(self, group: h5py.Group) -> int:
        """Check every column of a table, and return how many rows it has."""
        index = group.attrs.get("_index")
        if not isinstance(index, str) or not isinstance(group.get(index), Node):
            raise Damaged(f"{group.name} does not say which column names its rows")
        order = group.attrs.get("column-order", [])
        if not isinstance(order, np.ndarray | list) or not all(isinstance(name, str) for name in order):
            raise Damaged(f"{group.name} does not say which columns it has")
        if absent := [name for name in order if name not in group]:
            raise Damaged(f"{group.name} lacks its column {str(absent[0])[:60]}")
        if not isinstance(group[index], h5py.Dataset) or group[index].ndim != 1:
            raise Damaged(f"{group.name}/{index} is no column of names")
        rows = len(group[index])
        self.column(group[index], rows)
        for name in order:
            self.column(group[name], rows)
            self.old_categories(group, name)
        return rows

    def old_categories(self, group: h5py.Group, name: str) -> None:
        """Check the codes of a column whose categories lie apart, as anndata before 0.8 wrote them."""
        names = group.get("__categories")
        if isinstance(names, h5py.Group) and name in names and isinstance(group[name], h5py.Dataset):
            self.codes(group[name], self.array(names[name], None))

    def column(self, node: Node, rows: int) -> None:
        """Check a column; one of a form that nobody reads is left to whoever asks for it."""
        kind = node.attrs.get("encoding-type")
        if isinstance(node, h5py.Dataset):
            self.array(node, rows)
        elif kind == "categorical":
            self.array(self.part(node, "codes"), rows)
            self.codes(node["codes"], self.array(self.part(node, "categories"), None))
        elif kind in NULLABLE:
            for name in ("values", "mask"):
                self.array(self.part(node, name), rows)
            if node["mask"].dtype != bool:
                raise Damaged(f"{node.name}/mask is of the type {node['mask'].dtype}")

    def part(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """Return a dataset of a group; raises `Damaged` where there is none."""
        found = group.get(name)
        if not isinstance(found, h5py.Dataset):
            raise Damaged(f"{group.name[:100]} has no {name}")
        return found

    def array(self, dataset: h5py.Dataset, length: int | None) -> int:
        """Read a row of numbers or texts through, and return its length, which must be `length`."""
        if dataset.ndim != 1 or (length is not None and len(dataset) != length):
            raise Damaged(f"{dataset.name[:100]} has the shape {dataset.shape}, {length} values are expected")
        text = h5py.check_string_dtype(dataset.dtype)
        if not text and dataset.dtype.kind not in NUMBERS + "S":
            raise Damaged(f"{dataset.name[:100]} holds values of the type {dataset.dtype}")
        check_stored(dataset, self.size)
        for block in blocks(dataset):
            self.beat()
            if text:
                self.texts(block, dataset.name)
        return len(dataset)

    def texts(self, block: np.ndarray, name: str) -> None:
        """Count the letters of texts, of which thousands may lie in one place; raises where they are no UTF-8."""
        for each in block:
            if isinstance(each, bytes):
                each.decode("utf-8")
            self.letters += len(each)
        if self.letters > GROWTH * self.size + FREE_BYTES:
            raise Refused(f"unpacks the texts of {name[:100]} to more than {GROWTH} times its size")

    def codes(self, dataset: h5py.Dataset, categories: int) -> None:
        """Check that every code names a category, or none (-1)."""
        if dataset.dtype.kind not in "iu":
            raise Damaged(f"{dataset.name[:100]} holds codes of the type {dataset.dtype}")
        self.within(dataset, -1, categories, "code")

    def within(self, dataset: h5py.Dataset, low: int, end: int, what: str) -> None:
        """Raise `Damaged` where a whole number is below `low`, or not below `end`."""
        for block in blocks(dataset):
            self.beat()
            if len(block) and (int(block.min()) < low or int(block.max()) >= end):
                wrong = int(block.max()) if int(block.max()) >= end else int(block.min())
                raise Damaged(f"{dataset.name[:100]} holds the {what} {wrong}, of {end}")

    def matrix(self, node: Node, rows: int, columns: int | None) -> None:
        """Check the shape of a matrix against the rows of obs, and the columns of var where it has them."""
        kind, name = node.attrs.get("encoding-type"), node.name[:100]
        if isinstance(node, h5py.Dataset):
            shape = node.shape if node.ndim == 2 else None
            if shape and (node.dtype.kind not in NUMBERS):
                raise Damaged(f"{name} holds values of the type {node.dtype}, numbers are expected")
        elif kind in SPARSE:
            shape = self.sparse(node)
        else:
            shape = (self.frame(node), columns) if kind == "dataframe" else None
        if shape and (shape[0] != rows or columns not in (None, shape[1])):
            raise Damaged(f"{name} is {shape[0]} x {shape[1]}, obs has {rows} rows and var {columns}")

    def sparse(self, node: h5py.Group) -> tuple[int, int]:
        """Check the parts of a sparse matrix and its row pointers; return its shape."""
        name, said = node.name[:100], node.attrs.get("shape")
        parts = {part: self.part(node, part) for part in ("data", "indices", "indptr")}
        whole = isinstance(said, np.ndarray) and said.shape == (2,) and said.dtype.kind in "iu" and said.min() >= 0
        if not whole or any(part.ndim != 1 for part in parts.values()):
            raise Damaged(f"{name} is a sparse matrix without a shape, or with parts that are no rows of numbers")
        kinds = {part: dataset.dtype.kind for part, dataset in parts.items()}
        if kinds["data"] not in NUMBERS or not {kinds["indices"], kinds["indptr"]} <= set("iu"):
            raise Damaged(f"{name} is a sparse matrix whose parts are of the types {kinds}")
        shape = int(said[0]), int(said[1])
        lines = shape[1] if node.attrs["encoding-type"] == "csc_matrix" else shape[0]
        held = len(parts["data"])
        if len(parts["indices"]) != held or len(parts["indptr"]) != lines + 1:
            raise Damaged(f"{name}: its parts have {held}, {len(parts['indices'])} and {len(parts['indptr'])} numbers")
        check_stored(parts["indptr"], self.size)
        pointers = parts["indptr"][:].astype(np.int64)
        if pointers[0] != 0 or pointers[-1] != held or (np.diff(pointers) < 0).any():
            raise Damaged(f"{name}/indptr does not rise from 0 to {held}")
        return shape

    def values(self, node: Node) -> None:
        """Read a matrix through; every place that a sparse one names must be inside it."""
        if isinstance(node, h5py.Dataset):
            self.read(node)
        elif node.attrs.get("encoding-type") in SPARSE:
            rows, columns = map(int, node.attrs["shape"])
            by_columns = node.attrs["encoding-type"] == "csc_matrix"
            check_stored(node["indices"], self.size)
            self.within(node["indices"], 0, rows if by_columns else columns, "row" if by_columns else "column")
            self.read(node["data"])

    def read(self, dataset: h5py.Dataset) -> None:
        """Read all values through once."""
        check_stored(dataset, self.size)
        for _ in blocks(dataset):
            self.beat()
