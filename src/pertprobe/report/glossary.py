"""The terms of the field that pages use, each with a definition in one or two sentences."""

from functools import cache
from pathlib import Path

import yaml


@cache
def glossary() -> dict[str, str]:
    """Return term -> its definition, in alphabetical order."""
    found = yaml.safe_load((Path(__file__).parent / "glossary.yaml").read_text(encoding="utf-8"))
    return dict(sorted(found.items(), key=lambda each: each[0].lower()))
