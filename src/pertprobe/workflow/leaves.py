"""What no schema says of a config: keys that are no text, numbers that are none, signs that break names."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pertprobe.errors import name_fault, unseen_sign
from pertprobe.workflow.sentences import LONGEST_NAME, NAME
from pertprobe.workflow.showing_values import kind_of, shown

LARGEST = 2**31 - 1
"""Whole numbers above it are no seed, number of draws or size that any part of a run could use."""
NAMED = ("cells", "models", "panels", "sae")
"""Sections whose keys become parts of names of files."""
FILLED = re.compile(r"\$\{\w+(:-[^}]*)?\}|<results>")
"""What is put into texts before they are used."""
AS_WRITTEN = ("cells", "reading_words", "given_up")
"""Sections in which spaces at an end may be meant: labels of a file, and words."""


SETS = ("panels", "programs", "pairs", "thresholds")
"""Sections whose lists are read as sets, or looked through by checks of their own."""


class Leaf(NamedTuple):
    """A value that holds no others."""

    key: str
    value: Any
    piece: Mapping[str, Any]
    """What the schema says of it; empty where it says nothing."""


def unread_keys(config: Any, key: str = "") -> Iterator[str]:
    """Yield the keys of a config that YAML does not read as text."""
    for name, value in config.items() if isinstance(config, Mapping) else ():
        if isinstance(name, str):
            yield from unread_keys(value, f"{key}.{name}" if key else name)
        else:
            what = "empty" if name is None else f"{shown(name)}, {kind_of(name)}"
            yield f"{key or 'config'}: a key is {what}, where text is expected. Put it in quotes, as it is written"
    for place, value in enumerate(config) if isinstance(config, list) else ():
        yield from unread_keys(value, f"{key}.{place}")


def followed(piece: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a piece of the schema, or what it refers to."""
    found: Any = schema
    if "$ref" not in piece:
        return piece
    for part in piece["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def below(piece: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return what the schema says of one key of a section."""
    others = piece.get("additionalProperties")
    return piece.get("properties", {}).get(key, others if isinstance(others, dict) else {})


def of_items(piece: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the schema says of the entries of a list, whichever of several forms is one."""
    return next((each["items"] for each in (piece, *piece.get("oneOf", ())) if "items" in each), {})


def leaves(
    config: Any, schema: Mapping[str, Any], piece: Mapping[str, Any] | None = None, key: str = ""
) -> Iterator[Leaf]:
    """Yield every value of a config that holds no others, with what the schema says of it."""
    piece = schema if piece is None else followed(piece, schema)
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from leaves(value, schema, below(piece, name), f"{key}.{name}" if key else name)
    elif isinstance(config, list):
        for place, value in enumerate(config):
            yield from leaves(value, schema, of_items(piece), f"{key}.{place}")
    else:
        yield Leaf(key, config, piece)


def leaf_faults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values that fit the type of their key and can still not be used."""
    for leaf in leaves(config, schema):
        if leaf.key.startswith("thresholds."):
            continue  # told by what columns hold
        if isinstance(leaf.value, float) and not math.isfinite(leaf.value):
            yield f"{leaf.key}: {shown(leaf.value)} is no finite number"
        elif isinstance(leaf.value, int) and abs(leaf.value) > LARGEST:
            yield f"{leaf.key}: {shown(leaf.value)} is too large, {LARGEST} is the most of any whole number"
        elif isinstance(leaf.value, float) and leaf.value.is_integer() and abs(leaf.value) > LARGEST:
            yield f"{leaf.key}: {shown(leaf.value)} is too large, {LARGEST} is the most of any number"
        elif isinstance(leaf.value, str) and (fault := _no_text(leaf)):
            yield f"{leaf.key}: {fault}"


def _no_text(leaf: Leaf) -> str:
    """Return why a text cannot be used; empty where it can."""
    value, form, section = leaf.value, leaf.piece.get("format"), leaf.key.partition(".")[0]
    if not value.strip():
        return "is empty text. Give it a value, or leave the key out"
    if sign := unseen_sign(value):
        return f"{shown(value)} holds {sign}. Write it without"
    if (section not in AS_WRITTEN or form == "path") and value != value.strip():
        return f"{shown(value)} begins or ends with a space. Write it without"
    if len(value) > MOST_SIGNS:
        return f"{shown(value)} has {len(value)} letters, {MOST_SIGNS} are the most"
    if form == "path":
        return _no_path(value)
    return _no_pattern(value) if form == "regular expression" else ""


def _no_path(value: str) -> str:
    """Return why Snakemake cannot read a path."""
    left = FILLED.sub("", value)
    if "{" in left or "}" in left:
        return f"{shown(value)} holds braces, which Snakemake reads as a wildcard. A variable is ${{NAME}}, in quotes"
    if found := re.search("<[^>]*>", left):
        return f"{shown(value)} holds {found[0]}; <results>, the folder of this run, is all that is filled in"
    return ""


def _no_pattern(value: str) -> str:
    try:
        re.compile(FILLED.sub("", value))
    except re.error as error:
        return f"{shown(value)} is not a regular expression ({error})"
    except RecursionError:
        return f"{shown(value)} is no regular expression that can be read: it nests too deep"
    return ""


def repeated(config: Any, key: str = "") -> Iterator[str]:
    """Yield the lists in which a text stands twice: what they name would be measured, or counted, twice."""
    if key.partition(".")[0] in SETS:
        return
    for name, value in config.items() if isinstance(config, Mapping) else ():
        yield from repeated(value, f"{key}.{name}" if key else name)
    texts = [each for each in config if isinstance(each, str)] if isinstance(config, list) else []
    if twice := sorted({each for each in texts if texts.count(each) > 1}):
        yield f"{key}: {', '.join(map(shown, twice))} stands twice. Name each once"


def name_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield names that the schema takes and no file could be called by, and those of programs that cannot be shown."""
    sections = {name: section for name in NAMED if isinstance(section := config.get(name), Mapping)}
    named = [(key, name) for key, section in sections.items() for name in section]
    run = config.get("run")
    for key, name in [*named, *([("run", run)] if isinstance(run, str) else [])]:
        if len(name) > LONGEST_NAME:
            yield f"{key}: the name {shown(name)} has {len(name)} letters, {LONGEST_NAME} are the most"
        elif name.endswith("\n") and NAME.fullmatch(name[:-1]):
            yield f"{key}: the name {shown(name)} may hold only a-z, 0-9 and _."
    yield from _program_names(config.get("programs"))


def _program_names(programs: Any) -> Iterator[str]:
    """Yield the names of programs written in the config that cannot be shown, or told from another."""
    for source in ("patterns", "lists"):
        section = programs.get(source) if isinstance(programs, Mapping) else None
        for name in section if isinstance(section, Mapping) else ():
            if fault := name_fault(name) or ("begins or ends with a space" if name != name.strip() else ""):
                yield f"programs.{source}: the name {shown(name)} {fault}"


MOST_SIGNS = 4096
"""Of any text, as of a path."""
