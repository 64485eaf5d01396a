"""Values of a config as its user wrote them, and what they are, in words."""

from collections.abc import Mapping
from typing import Any

from pertprobe.errors import escaped

LONGEST = 60
"""Letters of a value that are shown."""
KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
}


def shown(value: Any) -> str:
    """Return a value as it stands in a config, long ones cut."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, float) and value != value:
        return ".nan"
    if isinstance(value, Mapping):
        return "{" + _cut(", ".join(f"{key}: ..." for key in list(value)[:LONGEST])) + "}"
    if isinstance(value, list):
        return "[" + _cut(", ".join(map(shown, value[:LONGEST]))) + "]"
    if isinstance(value, int | float):
        return _cut(_number(value))
    return f"'{_cut(str(value))}'"


def kind_of(value: Any) -> str:
    """Return what a value is, in words."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a section with keys"
    return next((words for kind, words in KINDS.items() if isinstance(value, kind)), "a date or another kind of YAML's")


def _number(value: float) -> str:
    """Return a number as text; whole ones of thousands of digits, which Python does not write, in words."""
    try:
        return str(value)
    except ValueError:
        return "a number of thousands of digits"


def _cut(text: str) -> str:
    """Return a text without line breaks and signs that no screen shows, at most so long."""
    plain = escaped(text[: LONGEST + 1])
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}..."
