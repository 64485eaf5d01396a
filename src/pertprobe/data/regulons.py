"""Signed regulons: which genes a regulator acts on, and in which direction, as TRRUST and CollecTRI write them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pertprobe.data.regulon_table import SignedTable, signed_table
from pertprobe.errors import PertprobeError, read_together
from pertprobe.readers.texts import read_table


class Regulons(NamedTuple):
    """One set of regulons."""

    name: str
    signs: pd.DataFrame
    """Columns source, target, sign (1, -1, 0 = not known), one row an edge, sorted; no gene acts on itself."""
    notes: tuple[str, ...] = ()
    """What was left out or joined, in words."""

    def matrix(self, sources: Iterable[str], targets: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return which edges there are, bool [sources, targets], and their signs."""
        rows = {name: i for i, name in enumerate(sources)}
        columns = {name: j for j, name in enumerate(targets)}
        known = self.signs[self.signs.source.isin(rows.keys()) & self.signs.target.isin(columns.keys())]
        place = known.source.map(rows).to_numpy(dtype=np.intp), known.target.map(columns).to_numpy(dtype=np.intp)
        edges, signs = np.zeros((len(rows), len(columns)), dtype=bool), np.zeros((len(rows), len(columns)), np.int8)
        edges[place], signs[place] = True, known.sign.to_numpy()
        return edges, signs


def read_regulon_files(paths: Mapping[str, str | Path]) -> dict[str, Regulons]:
    """Read the regulons of a run, name -> file; raises Faults, all files together."""
    return read_together(paths, lambda name, path: read_regulons(path, name))


def read_regulons(path: str | Path, name: str = "") -> Regulons:
    """Read signed edges from a table, as `signed_table` finds them.

    TRRUST tables with `mor`, CollecTRI with `weight`, OmniPath with is_stimulation and is_inhibition, BEELINE with
    Gene1 and Gene2. TRRUST's own file has no header: regulator, target, Activation / Repression / Unknown, references.
    Where one edge stands several times with signs that differ, its sign is not known.

    Raises:
        PertprobeError: the file cannot be read, a column is missing, or signs are no signs.
    """
    path = Path(path)
    try:
        return _joined(name or path.stem, signed_table(read_table(path)))
    except PertprobeError as error:
        raise PertprobeError(f"{path}: {error}") from error


def _joined(name: str, table: SignedTable) -> Regulons:
    """Return every edge once, and what was done to the table."""
    edges = table.edges
    own = edges.source == edges.target
    once = edges[~own].groupby(["source", "target"], as_index=False).sign.agg(["min", "max"])
    disputed = once["min"] != once["max"]
    signs = once[["source", "target"]].assign(sign=once["min"].where(~disputed, 0))
    done = (own, "genes that act on themselves left out"), (disputed, "edges with signs that differ count as unsigned")
    notes = (f"{int(rows.sum())} {what}" for rows, what in done if rows.any())
    return Regulons(name, signs.sort_values(["source", "target"], ignore_index=True), (*table.notes, *notes))
