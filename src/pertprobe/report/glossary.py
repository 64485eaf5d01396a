"""The words of the project, each explained in one sentence: glossary.yaml as pages read it."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

PATH = Path(__file__).parent / "glossary.yaml"


class Term(NamedTuple):
    """What a word means."""

    means: str
    """One sentence."""
    also: tuple[str, ...]
    """Other spellings and words that are explained by the same sentence."""


@cache
def terms() -> dict[str, Term]:
    """Return term -> what it means, in the order of the alphabet."""
    found = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return {name: _term(found[name]) for name in sorted(found, key=str.lower)}


def glossary() -> dict[str, str]:
    """Return term -> its sentence, in the order of the alphabet."""
    return {name: term.means for name, term in terms().items()}


def _term(entry: str | dict[str, str | list[str]]) -> Term:
    """Return an entry of the file, a sentence or a mapping, as a term."""
    if isinstance(entry, str):
        return Term(entry, ())
    return Term(str(entry["means"]), tuple(entry["also"]))
