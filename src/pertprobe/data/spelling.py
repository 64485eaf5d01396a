"""Names that match nothing as they are written, and under which other spelling they would."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from pertprobe.errors import listed, nearest

AS_WRITTEN = "as_written"
SPELLINGS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "upper": ("in upper case", str.upper),
    "lower": ("in lower case", str.lower),
    "capital": ("in lower case with a first capital", str.capitalize),
    "before_comma": ("up to a comma", lambda name: name.partition(",")[0].strip()),
    "before_dot": ("without a version", lambda name: re.sub(r"\.\d+$", "", name)),
    "unquoted": ("without quotes", lambda name: name.strip("\"' ")),
}
"""Value of `programs.spelling` -> how it is said, and what it makes of a name."""
IDENTIFIERS = {
    "Ensembl identifiers": r"ENS[A-Z]*[GTP]\d{6,}(\.\d+)?",
    "Entrez numbers": r"\d+",
    "UniProt accessions": r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}",
    "labels with a control beside the gene": r".+\+ctrl|ctrl\+.+",
    "mouse symbols": r"[A-Z][a-z]+[a-z0-9]*",
    "several names in one field": r".+[;|/ ].+",
}
"""What names look like -> the pattern of one of them."""
MOSTLY = 0.8
"""Share of names that must look alike for them to be called so."""


def respelled(name: str, spelling: str) -> str:
    """Return a name in a spelling: a key of `SPELLINGS`, or `AS_WRITTEN`."""
    return name if spelling == AS_WRITTEN else SPELLINGS[spelling][1](name)


def looks_like(names: Collection[str]) -> str:
    """Return what most of the names look like, a key of `IDENTIFIERS`; empty for plain symbols."""
    for kind, pattern in IDENTIFIERS.items():
        if names and sum(bool(re.fullmatch(pattern, name)) for name in names) >= MOSTLY * len(names):
            return kind
    return ""


def matching_by_spelling(sets: Mapping[Any, Iterable[str]], known: Collection[str]) -> dict[str, int]:
    """Return how many of the sets have a known name, by spelling; the one they are written in is `AS_WRITTEN`."""
    known, spellings = {*known}, [AS_WRITTEN, *SPELLINGS]
    return {
        spelling: sum(any(respelled(name, spelling) in known for name in names) for names in sets.values())
        for spelling in spellings
    }


class Spelled(NamedTuple):
    """How many sets have a name that is known."""

    as_written: int
    best: int
    """Of the spelling, another than theirs, in which most have."""
    words: str
    """What that spelling is, and how to ask for it."""


def best_spelling(sets: Mapping[Any, Iterable[str]], known: Collection[str]) -> Spelled:
    """Return how many sets have a known name as they are written, and in the spelling in which most have."""
    found = matching_by_spelling(sets, known)
    as_written = found.pop(AS_WRITTEN)
    best = max(found, key=lambda spelling: found[spelling])
    words = f"{found[best]} do {SPELLINGS[best][0]}: set programs.spelling to '{best}'"
    return Spelled(as_written, found[best], words)


def hint(names: Collection[str], known: Collection[str]) -> str:
    """Return what may be wrong with names none of which is known: what both look like, or a near match; or nothing."""
    kinds = looks_like(names), looks_like(known)
    if kinds[0] != kinds[1]:
        said = [f"{whose} {kind or 'symbols'} ({listed(sorted(each)[:2])})" for whose, kind, each in
                (("these are", kinds[0], names), ("the models have", kinds[1], known))]  # fmt: skip
        return " and ".join(said)
    near = [(name, found[0]) for name in sorted(names)[:20] if (found := nearest(name, known, cutoff=0.75))]
    return f"did you mean '{near[0][1]}' by '{near[0][0]}'?" if near else ""
