"""The body of docs/configuration.md: every key of a config, from its schema and from what probes declare."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from words_of_schema import default, example, values

from pertprobe.probes.declaration import SPACE_OF_RESPONSES, Declaration, all_declared
from pertprobe.workflow.config import whole_schema

SCHEMA = Path(__file__).parents[1] / "config" / "schema.yaml"
GROUPS = {
    "What goes in": ("simulate", "cells", "perturbations", "models", "pairs", "programs", "panels", "sae"),
    "What is asked": ("probes", "atlas"),
    "How it is tested": ("statistics", "controls", "power"),
    "How it is judged": ("thresholds", "levels", "answer", "reading_words"),
    "Calibration": ("calibration",),
}
"""Heading -> sections of the config; keys without a section of their own stand before."""
EXAMPLES = {
    "sae": "joint",
    "layers": "middle",
    "regulons": {"collectri": "collectri.tsv"},
    "programs": {"interferon": [1069, 17]},
}
"""What a setting refers to -> an example, of settings without a default."""
CELLS = 64
"""An example of a number of cells."""
CALIBRATION = {"seed": 0, "planted": {"seeds": 5, "d": 2}}
"""An example of sizes."""
HEAD = "| key | values | default | meaning |\n|---|---|---|---|\n"


class Key(NamedTuple):
    """One key of a config."""

    name: str
    """Dotted, below the section; `<name>` stands for names that users choose."""
    piece: Mapping[str, Any]
    """Its piece of the schema, without references."""
    required: bool
    read_by: str
    """Rules that read it; empty: those of its section."""


def body() -> str:
    """Return every group and section."""
    schema = whole_schema(SCHEMA)
    sections = {key for group in GROUPS.values() for key in group}
    alone = [key for key in schema["properties"] if key not in sections]
    parts = [_alone(alone, schema)]
    for title, group in GROUPS.items():
        parts += [f"## {title}\n\n", *(_section(key, schema) for key in group)]
    return "".join(parts)


def keys(node: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> Iterator[Key]:
    """Yield what a mapping of the schema may hold, at every depth."""
    for name, part in node.get("properties", {}).items():
        piece = resolved(part, schema)
        yield Key(prefix + name, piece, name in node.get("required", ()), piece.get("read_by", ""))
        if not part.get("$ref", "").startswith("#/properties/"):  # what repeats another section is described there
            yield from keys(piece, schema, f"{prefix}{name}.")


def resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a piece of the schema with what it refers to filled in."""
    if "$ref" not in part:
        return part
    found = schema
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return {**found, **part}


def settings_example(probe: Declaration) -> dict[str, Any]:
    """Return every setting of a probe, with its default where it has one."""
    return {
        key: piece["default"] if "default" in piece else _example_of(piece) for key, piece in probe.settings.items()
    }


def _alone(names: list[str], schema: Mapping[str, Any]) -> str:
    """Return the keys that stand by themselves at the head of a config."""
    pieces = {name: schema["properties"][name] for name in names}
    rows = [Key(name, piece, name in schema["required"], piece["read_by"]) for name, piece in pieces.items()]
    shown = {name: piece["examples"][0] for name, piece in pieces.items() if "examples" in piece}
    return f"## The run\n\n{_table(rows)}\n{example(shown)}\n"


def _section(name: str, schema: Mapping[str, Any]) -> str:
    """Return a section of the config: what it is for, who reads it, its keys, an example."""
    piece = schema["properties"][name]
    needed = "" if name not in schema["required"] else " Required."
    head = f"### {name}\n\n{_sentence(piece['description'])}{needed}{_readers(piece)}\n\n"
    if name == "probes":
        return head + "".join(_probe(probe, schema) for probe in all_declared().values())
    if name == "calibration":
        return head + _calibration(piece, schema)
    entry = piece.get("additionalProperties")
    named = isinstance(entry, dict) and "$ref" in entry
    found = keys(resolved(entry, schema), schema, "<name>.") if named else keys(piece, schema)
    rows = [key for key in found if name != "thresholds"]
    shown = "".join(example({name: each}) for each in piece["examples"])
    return f"{head}{_table(rows)}\n{shown}\n" if rows else f"{head}{shown}\n"


def _calibration(piece: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the parts of the calibration, a table each."""
    parts = {name: resolved(part, schema) for name, part in piece["properties"].items()}
    alone = [Key(name, part, False, "") for name, part in parts.items() if part["type"] != "object"]
    text = f"{_table(alone)}\n{example({'calibration': CALIBRATION})}\n"
    for name, part in parts.items():
        if part["type"] == "object":
            text += (
                f"#### calibration: {name}\n\n{_sentence(part['description'])}\n\n{_table(list(keys(part, schema)))}\n"
            )
    return text


def _probe(probe: Declaration, schema: Mapping[str, Any]) -> str:
    """Return the section of a probe: question, standing, settings, default conditions, an example."""
    head = f"#### {probe.name}\n\n{_asked(probe)} {standing(probe)}.\n\n"
    rows = [Key(key, piece, key in probe.required, _reread(probe, key)) for key, piece in probe.settings.items()]
    table = f"{_table(rows)}\n" if rows else "It has no settings.\n\n"
    judged = "; ".join(f"{column} {sign} {value}" for column, sign, value in probe.thresholds)
    passes = f"Passes by default where `{judged}`." if judged else "It is not judged by default."
    return f"{head}{table}{passes}\n\n{example({'probes': {probe.name: settings_example(probe)}})}\n"


def _asked(probe: Declaration) -> str:
    """Return the question of a probe as a sentence."""
    return probe.question if probe.question.endswith("?") else f"{probe.question}."


def standing(probe: Declaration) -> str:
    """Return in words to which level a probe speaks, whether it counts there, and what it tests."""
    if probe.level == "none":
        words = "In no level: it describes"
    else:
        words = f"{probe.level.capitalize()} level, {'counted' if probe.counted else 'not counted'} by default"
    if probe.measured_by:
        words += f"; tests what {probe.measured_by} measures"
    return words + (", which must be run" if probe.measured_by not in ("", SPACE_OF_RESPONSES) else "")


def _reread(probe: Declaration, key: str) -> str:
    """Return what a change of a setting makes anew: the measurement, or its test alone."""
    depends = probe.depends.get("settings", "all")
    measured = not probe.measured_by and (depends == "all" or key in depends)
    return "measure, test" if measured else "test"


def _table(rows: list[Key]) -> str:
    return HEAD + "".join(_row(key) for key in rows)


def _row(key: Key) -> str:
    meaning = key.piece["description"] + (f" *({key.read_by})*" if key.read_by else "")
    given = "required" if key.required else default(key.piece)
    cells = (f"`{key.name}`", values(key.piece), given, meaning)
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |\n"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _readers(piece: Mapping[str, Any]) -> str:
    """Return which rules read a section."""
    rules = piece.get("read_by", "")
    return f" Read by {', '.join(f'`{rule}`' for rule in rules.split(', '))}." if rules else ""


def _example_of(piece: Mapping[str, Any]) -> Any:
    """Return an example of a setting without a default."""
    return EXAMPLES.get(piece.get("refers_to", ""), CELLS)
