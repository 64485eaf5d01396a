"""Tables of signed edges as databases and benchmarks write them: which column is what, and what a cell of it says."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from pertprobe.errors import PertprobeError, in_a_row, listed, number_of

NAMES = {
    "source": ("source_genesymbol", "source", "regulator", "tf", "tf_name", "transcription_factor", "gene1", "gene_1",
               "from", "source_gene"),
    "target": ("target_genesymbol", "target", "target_gene", "targetgene", "target_name", "gene2", "gene_2", "gene",
               "to"),
    "sign": ("sign", "mor", "mode_of_regulation", "mode", "regulation", "effect", "type", "interaction", "direction"),
}  # fmt: skip
"""What a column holds -> the names it is known by, in lower case with "_" for other signs, the surest first."""
WEIGHTS = ("weight", "score")
"""Columns whose sign counts where no other says one: of some tables they are how sure an edge is."""
FLAGS = {
    1: ("is_stimulation", "consensus_stimulation", "is_activation", "stimulation", "activation"),
    -1: ("is_inhibition", "consensus_inhibition", "is_repression", "inhibition", "repression"),
}
"""Direction -> the names of a column that says whether an edge has it."""
WORDS = {
    **dict.fromkeys(("activation", "activates", "activator", "up", "stimulation", "positive", "+"), 1),
    **dict.fromkeys(("repression", "represses", "repressor", "down", "inhibition", "negative", "-"), -1),
    **dict.fromkeys(("unknown", "", "na", "nan", "both", "."), 0),
}
"""Words for a sign, in lower case; 0 = it acts, which way is not known. Numbers count by their own sign."""
TRUTH = {
    **dict.fromkeys(("true", "yes", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "0", "0.0", "", "na"), False),
}
RAW_TRRUST = ("source", "target", "sign", "references")
"""Columns of TRRUST's own download, which names none."""
SEPARATORS = ("\t", ";", ",")
MANY_FAULTS = 5
"""Lines named in an error; more are counted."""


class SignedTable(NamedTuple):
    """Edges as a file lists them."""

    edges: pd.DataFrame
    """Columns source, target, sign (1, -1, 0 = not known), a row for each line of the file."""
    notes: tuple[str, ...]
    """Which columns were read where there is a choice, and what was left out."""


def signed_table(text: str) -> SignedTable:
    """Return the edges of a table.

    Its header names the columns (`NAMES`), apart by tabs, semicolons or commas. Lines that begin with # are comments,
    but for the last of them where it is the header. Signs are words or numbers in one column, or true and false in two
    (`FLAGS`); without any, no sign is known.

    Raises:
        PertprobeError: it is no table, a column is missing, or signs are no signs.
    """
    numbers, lines, comments = _without_comments(text.lstrip("\ufeff").splitlines())
    if not lines:
        raise PertprobeError("cannot be read (no table: it has no lines)")
    separator = next((each for each in SEPARATORS if each in lines[0]), ",")
    cells = _cells(lines, separator)
    header = [_plain(cell) for cell in cells.iloc[0]]
    place = _places(header)
    raw = not place and len(header) >= 3 and WORDS.get(header[2] or "?") is not None
    if raw:
        place = {what: RAW_TRRUST.index(what) for what in NAMES}
    if lacking := [what for what in ("source", "target") if what not in place]:
        wanted = "; ".join(f"{what}: {', '.join(NAMES[what])}" for what in lacking)
        raise PertprobeError(f"no column for {listed(lacking)} (found: {listed(header)}). Name it one of {wanted}")
    start = 0 if raw else 1
    rows = cells.iloc[start:].reset_index(drop=True)
    signs, note = _signs(rows, header, place, numbers[start:])
    edges = pd.DataFrame({what: rows[place[what]].str.strip() for what in ("source", "target")}).assign(sign=signs)
    complete = (edges.source != "") & (edges.target != "")
    notes = [*comments, *_choices(header, place), *note]
    notes += (
        [f"{number_of(int((~complete).sum()), 'line')} without a regulator or a target left out"]
        if not complete.all()
        else []
    )
    if "sign" in place and not edges.sign.any():
        notes.append("no edge has a sign that says which way it acts: all count as unsigned")
    return SignedTable(edges[complete].reset_index(drop=True), tuple(notes))


def _without_comments(lines: Sequence[str]) -> tuple[list[int], list[str], list[str]]:
    """Return numbers and texts of the lines that are no comments, and a note on those that are."""
    kept = [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    comments = [(number, line) for number, line in enumerate(lines, start=1) if line.startswith("#")]
    first = kept[0][0] if kept else len(lines) + 1
    before = [(number, line.lstrip("# \t")) for number, line in comments if number < first]
    if before and kept and _names_columns(before[-1][1]) and not _names_columns(kept[0][1]):
        kept.insert(0, before[-1])
        comments = [each for each in comments if each[0] != before[-1][0]]
    note = [f"{number_of(len(comments), 'line')} of comments left out"] if comments else []
    return [number for number, _ in kept], [line for _, line in kept], note


def _names_columns(line: str) -> bool:
    """Return whether a line is a header that names regulators and targets."""
    separator = next((each for each in SEPARATORS if each in line), ",")
    return {"source", "target"} <= set(_places([_plain(cell) for cell in line.split(separator)]))


def _cells(lines: Sequence[str], separator: str) -> pd.DataFrame:
    """Return the cells of a table as text, the header as its first row."""
    try:
        text = io.StringIO("\n".join(lines))
        return pd.read_csv(text, sep=separator, header=None, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' errors of parsing are ValueErrors
        raise PertprobeError(f"cannot be read (no table: {error})") from error


def _plain(cell: object) -> str:
    """Return the name of a column in lower case, other signs than letters and digits as one "_"; others as they are."""
    text = str(cell).strip().strip('"').lower()
    words = "".join(letter if letter.isalnum() else " " for letter in text).split()
    return "_".join(words) or text


def _places(header: Sequence[str]) -> dict[str, int]:
    """Return what is found -> its column."""
    found = {
        what: next((header.index(name) for name in names if name in header), None) for what, names in NAMES.items()
    }
    return {what: column for what, column in found.items() if column is not None}


def _choices(header: Sequence[str], place: Mapping[str, int]) -> list[str]:
    """Return a note on the columns that were read where others could have been."""
    notes = []
    for what in ("source", "target"):
        others = [name for name in NAMES[what] if name in header and header.index(name) != place[what]]
        others = [name for name in others if header.index(name) not in place.values()]
        if others:
            notes.append(f"{what}s are those of column {header[place[what]]}, not of {in_a_row(others)}")
    return notes


def _signs(
    rows: pd.DataFrame, header: Sequence[str], place: Mapping[str, int], lines: Sequence[int]
) -> tuple[np.ndarray, list[str]]:
    """Return the sign of each row, and a note on where it is from; raises PertprobeError for what is no sign."""
    if "sign" in place:
        weights = [name for name in WEIGHTS if name in header]
        said = f"signs are those of column {header[place['sign']]}, not of {in_a_row(weights)}" if weights else ""
        return _read_signs(rows[place["sign"]], lines), [said] if weights else []
    flags = {way: next((header.index(n) for n in names if n in header), None) for way, names in FLAGS.items()}
    if None not in flags.values():
        up, down = (_truths(rows[flags[way]], lines) for way in (1, -1))
        return up.astype(int) - down.astype(int), [
            f"signs are those of columns {header[flags[1]]} and {header[flags[-1]]}"
        ]
    if weighted := [header.index(name) for name in WEIGHTS if name in header]:
        return _read_signs(rows[weighted[0]], lines), []
    return np.zeros(len(rows), int), ["no column says which way a regulator acts: all edges count as unsigned"]


def _read_signs(words: pd.Series, lines: Sequence[int]) -> np.ndarray:
    """Return 1, -1 or 0 for numbers and words; raises PertprobeError for what is neither."""
    plain = words.str.strip()
    signs = np.sign(pd.to_numeric(plain, errors="coerce")).fillna(plain.str.lower().map(WORDS))
    known = ", ".join(sorted(word for word in WORDS if word.isalpha()))
    _refuse(plain, signs.isna(), lines, f"signs are neither numbers nor words such as {known}")
    return signs.to_numpy().astype(int)


def _truths(words: pd.Series, lines: Sequence[int]) -> np.ndarray:
    """Return which cells say true; raises PertprobeError for what is neither true nor false."""
    plain = words.str.strip()
    said = plain.str.lower().map(TRUTH)
    _refuse(plain, said.isna(), lines, "cells of a column of directions are neither true nor false")
    return said.to_numpy().astype(bool)


def _refuse(words: pd.Series, wrong: pd.Series, lines: Sequence[int], what: str) -> None:
    """Raise PertprobeError for wrong cells, naming the first by their lines."""
    if wrong.any():
        said = [f"line {lines[i]}: '{words[i]}'" for i in np.flatnonzero(wrong)[:MANY_FAULTS]]
        raise PertprobeError(f"{int(wrong.sum())} {what}: {listed(said)}")
