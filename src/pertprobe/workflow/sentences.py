"""What breaks the schema of a config, each in one sentence that starts with its key: no word of the schema's own."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import ValidationError

from pertprobe.errors import nearest
from pertprobe.workflow.showing_values import kind_of, shown

WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section with keys",
    "null": "null",
}
"""Type of JSON Schema -> what it is in words."""
PLURAL = {"string": "names", "integer": "whole numbers", "number": "numbers", "array": "lists"}
NAME = re.compile("[a-z0-9_]+")
"""Names that become names of files."""
LONGEST_NAME = 64
"""Letters of such a name: several stand in one name of a file."""


def sentences(error: ValidationError) -> Iterator[str]:
    """Yield what one error of the schema says to the user of a config."""
    key = dotted(error)
    tell = SAID.get(str(error.validator))
    for text in tell(error) if tell else [f"{shown(error.instance)} cannot stand here."]:
        yield f"{key}: {text}"


def dotted(error: ValidationError) -> str:
    """Return the key of an error, parts between dots."""
    return ".".join(str(part) for part in error.absolute_path) or "config"


def wanted(piece: Mapping[str, Any]) -> str:
    """Return what a piece of the schema allows, in words."""
    if "const" in piece:
        return shown(piece["const"])
    if "enum" in piece:
        return _listed(piece["enum"])
    if "oneOf" in piece:
        return " or ".join(wanted(each) for each in piece["oneOf"])
    kinds = piece.get("type", "string")
    words = " or ".join(WORDS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
    items = piece.get("items", {})
    of = PLURAL.get(items.get("type", ""), "") if kinds == "array" else ""
    least = f" of {piece['minimum']} or more" if "minimum" in piece and kinds in ("integer", "number") else ""
    return f"{words}{f' of {of}' if of else ''}{least}"


def _type(error: ValidationError) -> Iterator[str]:
    """Say that a value is of another kind than its key, and how to write it."""
    value = error.instance
    piece = {key: error.schema[key] for key in ("type", "items", "minimum", "required") if key in error.schema}
    kinds = [piece["type"]] if isinstance(piece["type"], str) else piece["type"]
    if value is None:
        remedy = " ({} for one with defaults alone)" if kinds == ["object"] and not piece.get("required") else ""
        yield f"is empty, {wanted(piece)} is expected{remedy}. Give it one, or leave the key out."
        return
    advice = ""
    if "string" in kinds and not isinstance(value, str | list | Mapping):
        advice = " Put it in quotes, so that it is read as it is written."
    elif isinstance(value, str) and {*kinds} & {"integer", "number", "boolean"}:
        advice = " Write it without quotes, in a file that is given with --configfile."
    elif isinstance(value, float) and "integer" in kinds:
        yield f"{shown(value)} is no whole number, {wanted(piece)} is expected."
        return
    yield f"{shown(value)} is {kind_of(value)}, {wanted(piece)} is expected.{advice}"


def _additional(error: ValidationError) -> Iterator[str]:
    known = list(error.schema.get("properties", {}))
    for unknown in sorted(error.instance.keys() - set(known), key=str):
        near = nearest(str(unknown), known)
        hint = f"; did you mean '{near[0]}'?" if near else f" (known: {_listed(known)})."
        yield f"unknown key {shown(unknown)}{hint}"


def _required(error: ValidationError) -> Iterator[str]:
    missing = [name for name in error.validator_value if name not in error.instance]
    yield f"{_listed(missing)} missing (has {_listed(list(error.instance)) or 'nothing'})."


def _one_of(error: ValidationError) -> Iterator[str]:
    choices = error.validator_value
    if not all("required" in each for each in choices):
        empty = error.instance is None
        yield (
            f"is empty, {wanted(error.schema)} is expected."
            if empty
            else (f"{shown(error.instance)} is not one of the forms allowed ({', '.join(map(wanted, choices))}).")
        )
    elif isinstance(error.instance, Mapping):  # what is no section is told by its type
        given = [name for each in choices for name in each["required"] if name in error.instance]
        names = " or ".join(each["required"][0] for each in choices)
        yield f"give either {names}, never both (found {_listed(given) or 'neither'})."


def _dependent(error: ValidationError) -> Iterator[str]:
    for name, needed in error.validator_value.items():
        missing = [each for each in needed if each not in error.instance] if name in error.instance else []
        if missing:
            yield f"{name} reads what {_listed(missing)} makes, which is missing. Add it or leave it out."


def _enum(error: ValidationError) -> Iterator[str]:
    known = [str(each) for each in error.validator_value]
    near = nearest(error.instance, known) if isinstance(error.instance, str) else []
    which = "the name " if error.parent is None and "propertyNames" in error.absolute_schema_path else ""
    hint = f" Did you mean '{near[0]}'?" if near else ""
    yield f"{which}{shown(error.instance)} is not one of {_listed(error.validator_value)}.{hint}"


def _bound(beyond: str, which: str = "") -> Callable[[ValidationError], Iterator[str]]:
    def tell(error: ValidationError) -> Iterator[str]:
        """Say that a number lies beyond its bound."""
        yield f"{shown(error.instance)} {beyond} {error.validator_value}{which}."

    return tell


def _too_few(error: ValidationError) -> Iterator[str]:
    if not error.instance:
        yield "is empty. Give it at least " + ("one entry." if error.validator_value == 1 else "two entries.")
    else:
        yield f"{shown(error.instance)} has {len(error.instance)} entries, {error.validator_value} are the least."


def _too_many(error: ValidationError) -> Iterator[str]:
    yield f"{shown(error.instance)} has {len(error.instance)} entries, {error.validator_value} are the most."


def _twice(error: ValidationError) -> Iterator[str]:
    yield f"{shown(error.instance)} names something twice. Name each once."


def _pattern(error: ValidationError) -> Iterator[str]:
    yield f"the name {shown(error.instance)} may hold only a-z, 0-9 and _."


SAID: dict[str, Callable[[ValidationError], Iterator[str]]] = {
    "type": _type,
    "additionalProperties": _additional,
    "required": _required,
    "oneOf": _one_of,
    "dependentRequired": _dependent,
    "enum": _enum,
    "const": _enum,
    "minimum": _bound("is below", ", the least that it may be"),
    "exclusiveMinimum": _bound("is not above"),
    "maximum": _bound("is above", ", the most that it may be"),
    "exclusiveMaximum": _bound("is not below"),
    "minItems": _too_few,
    "minProperties": _too_few,
    "minLength": _too_few,
    "maxItems": _too_many,
    "uniqueItems": _twice,
    "pattern": _pattern,
}
"""What the schema checks -> what is said of it."""


def _listed(names: list[Any]) -> str:
    return ", ".join(map(shown, names))
