"""A config file in YAML or JSON, read as text: each key once, and the line on which each stands."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pertprobe.errors import PertprobeError, gathering, listed, raise_together
from pertprobe.probes.declaration import LOADER
from pertprobe.readers.texts import read_text

DEEPEST, MOST = 60, 100_000
"""How deep a config may nest, and how many entries it may have once its aliases are put in."""
TOO_LARGE = f"nests deeper than {DEEPEST} levels, or has more than {MOST:,} entries"
MERGED = "tag:yaml.org,2002:merge"
"""Tag of the key << of YAML, which stands for the keys of another section."""


LONGEST = 40
"""Letters of what is shown of a line."""


class Line(NamedTuple):
    """Where a key or an entry of a list stands."""

    path: Path
    number: int
    text: str
    """Its value as it is written, where that is one word or number; otherwise empty."""

    def __str__(self) -> str:
        """Say the file, as seen from here, and the line."""
        here = Path.cwd()
        return f"{self.path.relative_to(here) if self.path.is_relative_to(here) else self.path}, line {self.number}"


class ConfigFile(NamedTuple):
    """What a config file holds."""

    keys: dict[str, Any]
    lines: dict[str, Line]
    """Dotted key -> where it stands; none of a file in JSON."""


def read_config_file(path: str | Path) -> ConfigFile:
    """Read a file in YAML or JSON.

    Raises PertprobeError where it cannot be read, is neither or holds no keys, `Faults` of all keys that stand twice.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except PertprobeError as error:
        raise PertprobeError(f"{path}: {error}") from error
    found = _from_json(text, path) or _from_yaml(text, path)
    if not isinstance(found.keys, dict) or not found.keys:
        raise PertprobeError(f"{path}: holds no keys. A config begins with run, cells, models (config/README.md)")
    return found


def read_keys(path: str | Path) -> dict[str, Any]:
    """Return what `read_config_file` reads, without the lines."""
    return read_config_file(path).keys


def lines_of(paths: Iterable[str | Path]) -> dict[str, Line]:
    """Return where each key of these files stands, in the last one that has it; raises `Faults` of all files."""
    found: dict[str, Line] = {}
    faults: list[str] = []
    for path in paths:
        with gathering(faults):
            found |= read_config_file(path).lines
    raise_together(faults)
    return found


def located(faults: Iterable[str], lines: Mapping[str, Line]) -> list[str]:
    """Return faults with the file and line of what they begin with, or of a key below it that they quote."""
    return [_located(fault, lines) for fault in faults]


def _located(fault: str, lines: Mapping[str, Line]) -> str:
    key = fault.partition(":")[0]
    quoted = [f"{key}.{word}".removeprefix("config.") for word in fault.split("'")[1:2]]
    above = [key.rsplit(".", n)[0] for n in range(key.count(".") + 1)]
    place = next((lines[each] for each in (*quoted, *above) if each in lines), None)
    if place is None:
        return fault
    shown = place.text.isprintable() and 0 < len(place.text) <= LONGEST and place.text not in fault
    written = f": {place.text}" if shown else ""
    return f"{fault.removesuffix('.')} [{place}{written}]"


def _from_json(text: str, path: Path) -> ConfigFile | None:
    """Return a text in JSON; None where it is none, as YAML is not."""
    faults: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Make a mapping of keys of which none stands twice."""
        twice = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
        faults.extend(f"{path}: the key '{key}' stands twice in one section. Leave one" for key in twice)
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    raise_together(faults)
    return ConfigFile(found, {})


def _from_yaml(text: str, path: Path) -> ConfigFile:
    """Return a text in YAML; raises PertprobeError where it is none."""
    try:
        _check_depth(text, path)
        loader = LOADER(text)
        try:
            node = loader.get_single_node()
            lines, faults = _walked(node, path)
            raise_together(faults)
            return ConfigFile(loader.construct_document(node) if node else {}, lines)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise PertprobeError(_no_yaml(error, path, text)) from error
    except (ValueError, OverflowError, RecursionError) as error:  # dates that are none, numbers without end, depth
        raise PertprobeError(f"{path}: is no YAML: {error}") from error


def _check_depth(text: str, path: Path) -> None:
    """Raise PertprobeError for a text that nests too deeply: libyaml's own composer would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise PertprobeError(f"{path}: {TOO_LARGE}")


def _no_yaml(error: yaml.YAMLError, path: Path, text: str) -> str:
    """Say where and why a text is no YAML."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or " ".join(str(error).split())
    if "unhashable" in problem:
        problem = "a key is a list or a section, and keys are text"
    where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else f"{path}"
    line = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
    advice = ". YAML indents with spaces, never with tabs" if "\t" in line else ""
    return f"{where}: is no YAML: {problem}{advice}"


class _Entry(NamedTuple):
    """A node of YAML at its place."""

    key: str
    node: yaml.Node
    line: int
    depth: int


def _walked(root: yaml.Node | None, path: Path) -> tuple[dict[str, Line], list[str]]:
    """Return where each key of a document stands, and the keys that stand twice."""
    lines: dict[str, Line] = {}
    faults: dict[str, None] = {}
    left = [_Entry("", root, 0, 0)] if root else []
    for visited in range(2 * MOST):
        if not left:
            return lines, list(faults)
        entry = left.pop()
        if entry.depth > DEEPEST or visited > MOST:
            raise PertprobeError(f"{path}: {TOO_LARGE}")
        text = entry.node.value if isinstance(entry.node, yaml.ScalarNode) else ""
        lines[entry.key] = Line(path, entry.line, text)
        left += reversed(list(_below(entry)))
        faults |= dict.fromkeys(_twice(entry.node, path))
    return lines, list(faults)


def _below(entry: _Entry) -> Iterator[_Entry]:
    """Yield what a node holds: first what it takes from other sections, which its own keys then win over."""
    depth, above = entry.depth + 1, f"{entry.key}." if entry.key else ""
    if isinstance(entry.node, yaml.SequenceNode):
        for i, node in enumerate(entry.node.value):
            yield _Entry(f"{above}{i}", node, node.start_mark.line + 1, depth)
    for key, node in entry.node.value if isinstance(entry.node, yaml.MappingNode) else ():
        if key.tag == MERGED:
            merged = reversed(node.value) if isinstance(node, yaml.SequenceNode) else [node]
            yield from (entry._replace(node=each, depth=depth) for each in merged)
    for key, node in entry.node.value if isinstance(entry.node, yaml.MappingNode) else ():
        if key.tag != MERGED and isinstance(key, yaml.ScalarNode):
            yield _Entry(f"{above}{key.value}", node, key.start_mark.line + 1, depth)


def _twice(node: yaml.Node, path: Path) -> Iterator[str]:
    """Yield the keys that stand twice in one section of YAML, of which the last would win without a word."""
    if not isinstance(node, yaml.MappingNode):
        return
    places: dict[tuple[str, str], list[int]] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            places.setdefault((key.tag, key.value), []).append(key.start_mark.line + 1)
    for (_, name), lines in places.items():
        if len(lines) > 1:
            other = f"first in line {listed(lines[:-1])}"
            yield f"{path}, line {lines[-1]}: the key '{name}' stands twice in one section ({other}). Leave one"
