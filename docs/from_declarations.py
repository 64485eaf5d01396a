"""Write the rows of docs/contracts.md that say what a config may hold of each probe: from what probes declare."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pertprobe.probes.declaration import SPACE_OF_RESPONSES, Declaration, all_declared
from pertprobe.workflow.config import whole_schema

HERE = Path(__file__).parent
SCHEMA = HERE.parent / "config" / "schema.yaml"
BEGIN, END = "<!-- made by `make contracts` of src/pertprobe/probes/*.yaml -->\n", "<!-- end of what is made -->\n"
HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"
PLAIN = {"string": "text", "boolean": "true, false", "integer": "integer", "number": "number"}
REFERRING = {"sae": "name", "regulons": "name: path"}
"""Words for settings whose values are names of something, where their schema says less."""


def page(text: str) -> str:
    """Return docs/contracts.md with what stands between the two marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def table() -> str:
    """Return the table of all probes, their thresholds, and the levels that they make up."""
    probes = all_declared().values()
    levels = whole_schema(SCHEMA)["properties"]["levels"]["properties"]
    rows = [row for probe in probes for row in of_settings(probe)] + [of_thresholds(probe) for probe in probes]
    return HEAD + "".join([*rows, *(of_level(level, piece) for level, piece in levels.items())])


def of_settings(probe: Declaration) -> Iterator[str]:
    """Yield the row of a probe's section and one for each of its settings."""
    yield _row(f"probes.{probe.name}", "mapping", "-", f"{probe.question} {standing(probe)}")
    for key, piece in probe.settings.items():
        given = "required" if key in probe.required else default(piece)
        yield _row(f"probes.{probe.name}.{key}", word(piece), given, piece["description"])


def of_thresholds(probe: Declaration) -> str:
    """Return the row of a probe's thresholds."""
    given = default({"default": probe.thresholds} if probe.thresholds else {})
    meaning = f"conditions of {probe.name}" if probe.thresholds else f"absent: {probe.name} is not judged"
    return _row(f"thresholds.{probe.name}", "list of conditions", given, meaning)


def of_level(level: str, piece: Mapping[str, Any]) -> str:
    """Return the row of a level."""
    return _row(f"levels.{level}", "list of probes", default(piece), "whose verdicts are counted")


def standing(probe: Declaration) -> str:
    """Return in words to which level a probe speaks, whether it counts there, and what it tests."""
    if probe.level == "none":
        words = "In no level: it describes"
    else:
        words = f"{probe.level.capitalize()} level, {'counted' if probe.counted else 'not counted'} by default"
    if probe.measured_by:
        words += f"; tests what {probe.measured_by} measures"
    return words + (", which must be run" if probe.measured_by not in ("", SPACE_OF_RESPONSES) else "")


def word(piece: Mapping[str, Any], plural: str = "") -> str:
    """Return the words for what a piece of schema allows; `plural`: the ending of their nouns."""
    to = piece.get("refers_to", "")
    if to in REFERRING:
        return REFERRING[to]
    if "enum" in piece:
        return "word" + plural
    if "oneOf" in piece:
        return _either([f"`{each['const']}`" if "const" in each else word(each, plural) for each in piece["oneOf"]])
    if piece["type"] == "object":
        return f"{to.removesuffix('s') or 'name'}: {word(piece['additionalProperties'])}"
    if piece["type"] == "array" and piece["items"] == {"type": "string"}:
        return f"list of {to}" if to else "list"
    return f"list of {word(piece['items'], 's')}" if piece["type"] == "array" else PLAIN[piece["type"]] + plural


def default(piece: Mapping[str, Any]) -> str:
    """Return the default of a piece of schema as it is written in a config."""
    return "`" + json.dumps(piece["default"]).replace('"', "") + "`" if "default" in piece else "-"


def _either(words: list[str]) -> str:
    """Join alternatives; a value that is written out comes last."""
    *others, last = sorted(words, key=lambda each: each.startswith("`"))
    return f"{', '.join(others)}{',' if others[1:] else ''} or {last}"


def _row(*cells: str) -> str:
    key, *others = cells
    return f"| `{key}` | {' | '.join(each.replace('|', chr(92) + '|') for each in others)} |\n"


if __name__ == "__main__":
    path = HERE / "contracts.md"
    path.write_text(page(path.read_text()))
