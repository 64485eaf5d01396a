"""What a piece of the config's schema allows, its default and an example, in words for a reader."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

PLAIN = {"string": "text", "integer": "integer", "number": "number"}
WRITTEN = {"boolean": "`true`, `false`", "null": "`null`"}
ONE_OF = {"sae": "name", "regulons": "name", "programs": "program"}
"""One of what a setting refers to, where that is not the same word without its last letter."""
WIDTH = 88
"""Of a line of an example."""
BOUNDS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}


def values(piece: Mapping[str, Any], many: str = "") -> str:
    """Return what may be given: written out, or a type with its bounds; `many`: the ending of nouns."""
    if "enum" in piece:
        return ", ".join(written(each) for each in piece["enum"])
    if "oneOf" in piece:
        to = {"refers_to": piece["refers_to"]} if "refers_to" in piece else {}
        return _either(
            [written(each["const"]) if "const" in each else values(to | each, many) for each in piece["oneOf"]]
        )
    if isinstance(piece["type"], list):
        return _either([values({"type": kind}) for kind in piece["type"]])
    return _of_type(piece, many)


def default(piece: Mapping[str, Any]) -> str:
    """Return the default of a piece of schema as it is written in a config."""
    return written(piece["default"]) if "default" in piece else "-"


def written(value: Any) -> str:
    """Return a value as it is written in a config."""
    return "`" + json.dumps(value).replace('"', "") + "`"


def example(given: Mapping[str, Any]) -> str:
    """Return a part of a config as a block of YAML; what fits a line stands in one."""
    return "```yaml\n" + "".join(f"{line}\n" for line in _lines(given)) + "```\n"


def _lines(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a mapping of a config."""
    for key, value in given.items():
        line = f"{key}: {_inline(value)}"
        if len(line) <= WIDTH or not isinstance(value, Mapping):
            yield line
        else:
            yield f"{key}:"
            yield from (f"  {each}" for each in _lines(value))


def _inline(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()


def _of_type(piece: Mapping[str, Any], many: str) -> str:
    kind, to = piece["type"], piece.get("refers_to", "")
    if kind == "array":
        items = piece["items"]
        named = to and (items.get("type") in ("string", "array") or "$ref" in items)
        return f"list of {to if named else values(items, 's')}"
    if kind == "object":
        others = piece.get("additionalProperties")
        return f"{_one(to) or 'name'}: {values(others)}" if isinstance(others, dict) else "mapping"
    if kind == "string":
        return (_one(to) or piece.get("format", PLAIN[kind])) + many
    return WRITTEN[kind] if kind in WRITTEN else PLAIN[kind] + many + _bounds(piece)


def _one(to: str) -> str:
    return ONE_OF.get(to, to.removesuffix("s"))


def _bounds(piece: Mapping[str, Any]) -> str:
    return "".join(f", {words.format(piece[name])}" for name, words in BOUNDS.items() if name in piece)


def _either(words: list[str]) -> str:
    """Join alternatives; a value that is written out comes last."""
    *others, last = sorted(words, key=lambda each: each.startswith("`"))
    return f"{', '.join(others)}{',' if others[1:] else ''} or {last}"
