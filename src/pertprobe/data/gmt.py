"""Gene sets in the GMT format, as databases and spreadsheets write it: what is no set costs itself and no other."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from pertprobe.errors import PertprobeError, listed, number_of

WEIGHTED = re.compile(r"(?P<gene>[^,\s]+),\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
"""A gene with a weight behind it, as Enrichr writes fuzzy sets: "STAT1,1.0"."""
JOINED = {"semicolons": ";", "commas": ",", "spaces": " "}
"""What genes of one field may be apart by, where no set has a second field of genes."""
SHOWN = 5


class Sets(NamedTuple):
    """What a file holds."""

    genes: dict[str, list[str]]
    """Name -> genes, in the order of the file."""
    notes: tuple[str, ...]
    """What was left out or read otherwise than it stands, in words."""


class _Line(NamedTuple):
    number: int
    name: str
    description: str
    genes: list[str]
    fields: int


def read_gmt(lines: Sequence[str], known_names: Collection[str] = ()) -> Sets:
    """Return the sets of a GMT file: name, description and genes of each line, apart by tabs.

    A set that stands twice counts once, as it stands first; a set without genes is left out. Comments, quotes, weights
    and genes that share a field are recognised. All of this is noted.

    Args:
        lines: of the file.
        known_names: names of genes and perturbations, by which a missing description is seen.

    Raises:
        PertprobeError: most lines are no sets.
    """
    texts = [(number, line.lstrip("\ufeff")) for number, line in enumerate(lines, start=1)]
    comments = [number for number, line in texts if line.startswith("#")]
    found = [_fields(number, line) for number, line in texts if line.strip() and not line.startswith("#")]
    notes = [f"{number_of(len(comments), 'line')} of comments left out"] if comments else []
    for change in (_unquoted, _apart, _unweighted):
        found = change(found, notes.append)
    good, bad = [line for line in found if line.name and line.genes], [f for f in found if not (f.name and f.genes)]
    _refuse_other_formats(good, bad)
    sets = {}
    for line in good:
        sets.setdefault(line.name, line)
    notes += [*_empty(bad), *_twice(good, sets), *_undescribed(good, set(known_names))]
    return Sets({name: line.genes for name, line in sets.items()}, tuple(notes))


def _fields(number: int, line: str) -> _Line:
    fields = [field.strip() for field in line.split("\t")]
    return _Line(number, fields[0], fields[1] if len(fields) > 1 else "", [g for g in fields[2:] if g], len(fields))


def _unquoted(found: list[_Line], note: Callable[[str], None]) -> list[_Line]:
    """Return lines without the quotes that a spreadsheet put around fields."""

    def bare(field: str) -> str:
        """Return a field without its own quotes."""
        return field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] == '"' else field

    plain = [
        line._replace(name=bare(line.name), description=bare(line.description), genes=[*map(bare, line.genes)])
        for line in found
    ]
    if changed := sum(one != other for one, other in zip(plain, found, strict=True)):
        note(f"quotes around fields of {number_of(changed, 'line')} left out")
    return plain


def _apart(found: list[_Line], note: Callable[[str], None]) -> list[_Line]:
    """Return lines with genes apart where every set has all of them in one field."""
    fields = [line.genes[0] for line in found if line.genes]
    if not fields or any(len(line.genes) > 1 for line in found) or all(WEIGHTED.fullmatch(each) for each in fields):
        return found
    for words, sign in JOINED.items():
        parts = [[part.strip() for part in field.split(sign) if part.strip()] for field in fields]
        # A label of a perturbation may hold commas and spaces: genes do not.
        if all(len(each) > 1 and all(re.fullmatch(r"[\w.\-]+", part) for part in each) for each in parts):
            note(f"genes apart by {words} in one field were read as {sum(map(len, parts))} genes")
            return [line._replace(genes=parts.pop(0)) if line.genes else line for line in found]
    return found


def _unweighted(found: list[_Line], note: Callable[[str], None]) -> list[_Line]:
    """Return lines without weights, where all genes of a set have one."""
    plain, n = [], 0
    for line in found:
        matched = [WEIGHTED.fullmatch(gene) for gene in line.genes]
        weighted = bool(matched) and all(matched)
        n += weighted
        plain.append(line._replace(genes=[each["gene"] for each in matched if each]) if weighted else line)
    if n:
        note(f"genes of {number_of(n, 'set')} have weights ('G1,1.0'), which are not used")
    return plain


def _refuse_other_formats(good: Sequence[_Line], bad: Sequence[_Line]) -> None:
    """Raise PertprobeError where a file is hardly a GMT: no set, or more lines that are none than sets."""
    if not good and not bad:
        raise PertprobeError("holds no program")
    if len(bad) > len(good):
        said = [
            f"line {each.number} has {each.fields} tab-separated fields and {len(each.genes)} genes" for each in bad
        ]
        raise PertprobeError(
            f"{listed(said, SHOWN)}; name, description and at least one gene are expected: is this a GMT file?"
        )


def _empty(bad: Sequence[_Line]) -> Iterator[str]:
    """Yield the sets that have no name or no gene."""
    if bad:
        said = listed((f"'{each.name}' (line {each.number})" for each in bad), SHOWN)
        yield f"{number_of(len(bad), 'set')} without a name or a gene left out: {said}"


def _twice(good: Sequence[_Line], sets: Mapping[str, _Line]) -> Iterator[str]:
    """Yield the names that stand several times: with other genes, and with the same."""
    again = [line for line in good if sets[line.name].number != line.number]
    other = [line for line in again if set(line.genes) != set(sets[line.name].genes)]
    if other:
        places = ((line.name, line.number, sets[line.name].number) for line in other)
        said = listed((f"'{name}' (line {number}, first in line {first})" for name, number, first in places), SHOWN)
        yield f"{number_of(len(other), 'set')} of a name that came before left out, with other genes: {said}"
    if same := [line.name for line in again if line not in other]:
        said = listed(dict.fromkeys(same), SHOWN)
        yield f"{number_of(len(same), 'set')} that came before left out, with the same genes: {said}"


def _undescribed(good: Sequence[_Line], known: set[str]) -> Iterator[str]:
    """Yield that descriptions name genes, where all do: then there is hardly a column of descriptions."""
    named = [line.description for line in good if line.description in known]
    if named and len(named) == len(good):
        yield (
            "the second field of every line is a description, and names a known gene "
            f"({listed(dict.fromkeys(named), 3)}): if these belong to their sets, put a description before them"
        )
