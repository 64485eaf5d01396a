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
def glossary() -> dict[str, Term]:
    """Return term -> what it means, in the order of the file."""
    return {name: _term(entry) for name, entry in yaml.safe_load(PATH.read_text(encoding="utf-8")).items()}


def _term(entry: str | dict[str, str | list[str]]) -> Term:
    """Return an entry of the file, a sentence or a mapping, as a term."""
    if isinstance(entry, str):
        return Term(entry, ())
    return Term(str(entry["means"]), tuple(entry["also"]))
