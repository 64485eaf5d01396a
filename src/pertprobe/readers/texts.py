"""Files of text: read up to a size, in UTF-8, and parsed without growing or falling into their own depth."""

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pertprobe.errors import PertprobeError
from pertprobe.readers.budget import DEPTH, pointer_words

OTHER_ENCODINGS = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "compressed by gzip",
    b"PK\x03\x04": "a zip archive (an xlsx is one)",
    b"\x89HDF": "an HDF5 file",
}
"""First bytes of what is no text in UTF-8 -> what it is."""
TEXT_BYTES = 256 * 2**20
LINE_LETTERS = 2**20
"""Of one line of a table: twenty thousand genes take a third of it."""
YAML_BYTES, NODES = 4 * 2**20, 500_000
JSON_BYTES = 16 * 2**20
UNREADABLE = (ValueError, KeyError, AttributeError, TypeError, RecursionError)
"""What parsers raise for values that their own grammar lets through: an invalid date, a tag on the wrong value."""


def read_text(path: str | Path, most: int = TEXT_BYTES) -> str:
    """Return the text of a file, without a byte order mark; raises `PertprobeError` without the file's name."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise PertprobeError("cannot be read (it is no file). Give the path of a file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise PertprobeError(f"cannot be read ({error.strerror or error}). Give the path of a file") from error
    if words := pointer_words(path):
        raise PertprobeError(words)
    for first, what in OTHER_ENCODINGS.items():
        if data.startswith(first):
            raise PertprobeError(f"cannot be read (not a text file in UTF-8: {what}). Save it as text in UTF-8")
    if len(data) > most:
        raise PertprobeError(f"cannot be read (larger than {most / 2**20:.0f} MB). Is it the right file?")
    text = _decoded(data)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise PertprobeError(f"cannot be read (line {line} holds a NUL byte, so it is no text). Copy it again")
    return text


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        where = f"line {line} holds the byte 0x{data[error.start]:02x}, as files in Latin-1 do"
        raise PertprobeError(f"cannot be read (not a text file in UTF-8: {where}). Save it as UTF-8") from error


def read_table(path: str | Path) -> str:
    """Return the text of a table, whose lines are not endless; raises `PertprobeError` without the file's name."""
    text = read_text(path)
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > LINE_LETTERS:
            raise PertprobeError(
                f"line {number} has {len(line):,} letters, {LINE_LETTERS:,} at most are read. Is it a table of lines?"
            )
    return text


def read_yaml(path: str | Path, name: str) -> Any:
    """Return what a YAML file holds; raises `PertprobeError` that calls it `name`."""

    def parsed(text: str) -> Any:
        """Return the value of a text whose nodes were counted before."""
        _count_nodes(text)
        return yaml.safe_load(text)

    return _parsed(path, name, "YAML", YAML_BYTES, parsed, (yaml.YAMLError, *UNREADABLE))


def read_json(path: str | Path, name: str) -> Any:
    """Return what a JSON file holds; raises `PertprobeError` that calls it `name`."""
    return _parsed(path, name, "JSON", JSON_BYTES, json.loads, UNREADABLE)


def _parsed(
    path: str | Path, name: str, form: str, most: int, parse: Callable[[str], Any], errors: tuple[type, ...]
) -> Any:
    try:
        return parse(read_text(path, most))
    except PertprobeError as error:
        raise PertprobeError(f"{name}: {error}") from error
    except RecursionError as error:
        raise PertprobeError(f"{name}: is not valid {form} (nested too deeply). Write it flat") from error
    except errors as error:
        words = " ".join(str(error).split())[:300]
        raise PertprobeError(f"{name}: is not valid {form} ({words}). Mend it, or copy it again") from error


def _count_nodes(text: str) -> None:
    """Raise `PertprobeError` where a YAML text is nested too deeply, or too large once its aliases are written out."""
    sizes, anchors, known = [1], [""], {}
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                raise PertprobeError(f"is refused, since the alias *{event.anchor} holds itself. Write it out")
            sizes[-1] += known.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            known[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            anchors.append(event.anchor or "")
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), anchors.pop()
            sizes[-1] += size
            known[anchor] = size
        if len(sizes) > DEPTH or sizes[-1] > NODES:
            raise PertprobeError(
                f"is refused, since it is nested more than {DEPTH} deep, or has more than {NODES:,} values with its "
                "aliases written out. Write it flat"
            )
