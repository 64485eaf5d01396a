"""Signed regulons: which genes a regulator acts on, and in which direction, as TRRUST and CollecTRI write them."""

from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pertprobe.errors import PertprobeError, listed, read_together
from pertprobe.reading import read_text

NAMES = {
    "source": ("source", "regulator", "tf", "tf_name", "from"),
    "target": ("target", "target_gene", "gene", "to"),
    "sign": ("sign", "weight", "mor", "mode", "effect", "regulation", "mode_of_regulation"),
}
"""What a column holds -> the names it is known by, in lower case."""
WORDS = {
    **dict.fromkeys(("activation", "activates", "activator", "up", "stimulation", "positive", "+"), 1),
    **dict.fromkeys(("repression", "represses", "repressor", "down", "inhibition", "negative", "-"), -1),
    **dict.fromkeys(("unknown", "", "na", "nan", "both", "."), 0),
}
"""Words for a sign, in lower case; 0 = it acts, which way is not known. Numbers count by their own sign."""
RAW_TRRUST = ("source", "target", "sign", "references")
"""Columns of TRRUST's own download, which names none."""
MANY_FAULTS = 5
"""Lines named in an error; more are counted."""


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
    """Read signed edges from a table separated by tabs or commas.

    A header names the columns of regulator, target and sign (`NAMES`): TRRUST tables with `mor`, CollecTRI with
    `weight`. TRRUST's own file has no header: regulator, target, Activation / Repression / Unknown, references. Where
    one edge stands several times with signs that differ, its sign is not known.

    Raises:
        PertprobeError: the file cannot be read, a column is missing, or signs are no signs.
    """
    path = Path(path)
    table = _columns(_read(path), path)
    signs = _signs(table.sign)
    if (wrong := signs.isna()).any():
        said = [f"line {table.line[i]}: '{table.sign[i]}'" for i in np.flatnonzero(wrong)[:MANY_FAULTS]]
        words = ", ".join(sorted(word for word in WORDS if word.isalpha()))
        raise PertprobeError(
            f"{path}: {int(wrong.sum())} signs are neither numbers nor words such as {words}: {listed(said)}"
        )
    edges = pd.DataFrame({"source": table.source, "target": table.target, "sign": signs.astype(int)})
    return _joined(name or path.stem, edges)


def _read(path: Path) -> pd.DataFrame:
    """Return the cells of the file as text, with the header as its first row; the separator is the first line's."""
    try:
        text = read_text(path)
    except PertprobeError as error:
        raise PertprobeError(f"{path}: {error}") from error
    separator = "\t" if "\t" in text.partition("\n")[0] else ","
    try:
        return pd.read_csv(StringIO(text), sep=separator, header=None, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' errors of parsing are ValueErrors
        raise PertprobeError(f"{path}: cannot be read (no table: {error})") from error


def _columns(cells: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return source, target, sign and line number, from the columns the header names or from raw TRRUST's."""
    header = [str(cell).strip().lower() for cell in cells.iloc[0]]
    place = {
        what: next((header.index(name) for name in names if name in header), None) for what, names in NAMES.items()
    }
    first_line = 2
    if all(found is None for found in place.values()) and len(header) >= 3 and WORDS.get(header[2] or "?") is not None:
        place, first_line = {what: RAW_TRRUST.index(what) for what in NAMES}, 1
    if lacking := [what for what, found in place.items() if found is None]:
        wanted = "; ".join(f"{what}: {', '.join(NAMES[what])}" for what in lacking)
        raise PertprobeError(
            f"{path}: no column for {listed(lacking)} (found: {listed(header)}). Name it one of {wanted}"
        )
    rows = cells.iloc[first_line - 1 :]
    table = pd.DataFrame({what: rows[column].str.strip().to_numpy() for what, column in place.items()})
    table["line"] = np.arange(len(rows)) + first_line
    return table[(table.source != "") & (table.target != "")].reset_index(drop=True)


def _signs(words: pd.Series) -> pd.Series:
    """Return 1, -1, 0, or nan for what is no sign."""
    return np.sign(pd.to_numeric(words, errors="coerce")).fillna(words.str.lower().map(WORDS))


def _joined(name: str, edges: pd.DataFrame) -> Regulons:
    """Return every edge once, and what was done to the table."""
    own = edges.source == edges.target
    once = edges[~own].groupby(["source", "target"], as_index=False).sign.agg(["min", "max"])
    disputed = once["min"] != once["max"]
    signs = once[["source", "target"]].assign(sign=once["min"].where(~disputed, 0))
    done = (own, "genes that act on themselves left out"), (disputed, "edges with signs that differ count as unsigned")
    notes = tuple(f"{int(rows.sum())} {what}" for rows, what in done if rows.any())
    return Regulons(name, signs.sort_values(["source", "target"], ignore_index=True), notes)
