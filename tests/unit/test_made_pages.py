"""Pages that are made of what is declared: they are current, whole, and their examples are configs that run."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from pertprobe.probes.declaration import all_declared
from pertprobe.report.glossary import glossary
from pertprobe.workflow.config import schema_faults, whole_schema

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import concepts_page  # noqa: E402 - from docs/
import configuration_page  # noqa: E402
import from_declarations as made  # noqa: E402
from words_of_schema import example, values  # noqa: E402

SCHEMA = whole_schema(ROOT / "config/schema.yaml")
RULES = {
    name
    for path in ROOT.glob("rules/*.smk")
    for name in re.findall(r"^\s*(?:use )?rule (?:\w+ as )?(\w+)\b", path.read_text(), re.MULTILINE)
}


def text(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def sections():
    """Return (section, its piece of the schema, the keys below it), of sections that have keys."""
    for name, piece in SCHEMA["properties"].items():
        entry = piece.get("additionalProperties")
        node = configuration_page.resolved(entry, SCHEMA) if isinstance(entry, dict) and "$ref" in entry else piece
        yield name, piece, list(configuration_page.keys(node, SCHEMA))


EVERY = [(name, key) for name, _, keys in sections() for key in keys if name not in ("probes", "thresholds")]
"""Every key of every section but those of probes, which declarations hold to be described."""


@pytest.mark.parametrize("name", made.MADE)
def test_a_page_is_what_its_declarations_make(name):
    page = text(name)
    assert page.count(made.BEGIN) == page.count(made.END) == 1
    assert made.page(name, page) == page


def test_what_stands_between_the_marks_is_made_and_nothing_else():
    page = text("glossary.md")
    spoilt = page.replace("| **answer** |", "| **anwser** |")
    assert spoilt != page
    assert made.page("glossary.md", spoilt) == page
    assert made.page("glossary.md", page.replace("# Glossary", "# Words")).startswith("# Words")


@pytest.mark.parametrize("key", SCHEMA["properties"])
def test_a_section_is_described_and_says_which_rules_read_it(key):
    piece = SCHEMA["properties"][key]
    assert piece["description"]
    if key not in ("probes", "pathvars"):  # probes: what each reads; pathvars: Snakemake's own
        assert piece["read_by"]


def rows(section):
    """Return key -> cells of its row, of the tables of a section of the page."""
    page = text("configuration.md").partition(f"\n### {section}\n")[2]
    part = re.split(r"^##? |^### ", page, maxsplit=1, flags=re.MULTILINE)[0]
    found = {}
    for title, below in re.findall(r"^(?:#### (?:\w+: )?)?(\w+)?\n((?:.|\n)*?)(?=^####|\Z)", part, re.MULTILINE):
        inner = f"{title}." if title and title in SCHEMA["properties"][section].get("properties", {}) else ""
        for key, *cells in re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \| (.+) \|$", below, re.MULTILINE):
            found[inner + key.removeprefix("<name>.")] = cells
    return found


@pytest.mark.parametrize(("section", "key"), EVERY, ids=lambda each: each if isinstance(each, str) else each.name)
def test_every_key_stands_on_the_page_with_its_default_and_meaning(section, key):
    if section == "calibration" and key.piece["type"] == "object" and "." not in key.name:
        assert f"\n#### calibration: {key.name}\n" in text("configuration.md")
        return
    _, default, meaning = rows(section)[key.name]
    assert meaning.startswith(key.piece["description"])
    if key.required or "default" not in key.piece:
        assert default == ("required" if key.required else "-")
    else:
        assert default == "`" + json.dumps(key.piece["default"]).replace('"', "") + "`"


def test_what_reads_a_key_are_rules():
    said = [piece.get("read_by", "") for piece in SCHEMA["properties"].values()] + [key.read_by for _, key in EVERY]
    names = {name for words in said for name in words.split(", ") if words and not words.startswith("every rule")}
    assert names - RULES == {"Snakemake"}


@pytest.mark.parametrize("probe", all_declared())
def test_every_probe_and_setting_stands_on_the_pages(probe):
    section = text("configuration.md").partition(f"#### {probe}\n")[2].partition("\n#")[0]
    declared = all_declared()[probe]
    assert declared.question in section
    assert [key for key in declared.settings if f"| `{key}` |" not in section] == []
    assert text("concepts.md").count(f"| {probe} | ") == 1
    assert f"[{probe}](configuration.md#{probe})" in text("concepts.md")


def test_all_examples_together_are_a_config():
    blocks = re.findall(r"^```yaml\n(.*?)^```", text("configuration.md"), re.MULTILINE | re.DOTALL)
    config = {}
    for block in blocks:
        for key, value in yaml.safe_load(block).items():
            config[key] = config.get(key, {}) | value if isinstance(value, dict) else value
    assert set(SCHEMA["properties"]) - set(config) == {"pathvars"}
    assert set(config["probes"]) == set(all_declared())
    assert schema_faults(config, SCHEMA) == []


@pytest.mark.parametrize("section", ["simulate", "cells", "models", "pairs", "programs", "panels", "sae", "atlas",
                                     "statistics", "controls", "power", "answer", "levels"])  # fmt: skip
def test_an_example_shows_every_key_of_its_section(section):
    (keys,) = (keys for name, _, keys in sections() if name == section)
    shown = yaml.safe_dump(SCHEMA["properties"][section]["examples"])
    assert [key.name for key in keys if f"{key.name.rpartition('.')[2]}:" not in shown] == []


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ({"enum": ["zero", "mean"]}, "`zero`, `mean`"),
        ({"type": "boolean"}, "`true`, `false`"),
        ({"type": "integer", "minimum": 2}, "integer, 2 or more"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0, at most 1"),
        ({"type": ["string", "null"]}, "text or `null`"),
        ({"type": "string", "format": "path"}, "path"),
        ({"type": "string", "refers_to": "sae"}, "name"),
        ({"type": "string", "refers_to": "perturbations"}, "perturbation"),
        ({"oneOf": [{"const": "middle"}, {"type": "integer"}]}, "integer or `middle`"),
        ({"oneOf": [{"const": "all"}, {"type": "integer"}, {"type": "array", "items": {"type": "string"}}],
          "refers_to": "genes"}, "integer, list of genes, or `all`"),
        ({"type": "array", "items": {"type": "number", "minimum": 0}}, "list of numbers, 0 or more"),
        ({"type": "array", "items": {"type": "string"}, "refers_to": "perturbations"}, "list of perturbations"),
        ({"type": "array", "items": {"oneOf": [{"const": "middle"}, {"type": "integer"}]}},
         "list of integers or `middle`"),
        ({"type": "object", "refers_to": "programs",
          "additionalProperties": {"type": "array", "items": {"type": "integer"}}}, "program: list of integers"),
    ],
)  # fmt: skip
def test_types_are_said_in_words(piece, words):
    assert values(piece) == words


def test_an_example_stands_in_lines_that_can_be_read():
    long = {f"key_{number}": "a value" for number in range(9)}
    block = example({"run": "mine", "cells": {"a": long, "b": {"path": "x.h5ad"}}})
    assert "run: mine\ncells:\n  a:\n    key_0: a value\n" in block
    assert "  b: {path: x.h5ad}\n" in block
    assert yaml.safe_load(block.removeprefix("```yaml\n").removesuffix("```\n"))["cells"]["a"] == long


def test_every_capability_that_probes_need_has_words():
    needed = {need for probe in all_declared().values() for need in probe.needs}
    assert needed - set(concepts_page.NEEDS) == set()


def test_the_glossary_page_has_every_word():
    assert [name for name in glossary() if f"| **{name}** |" not in text("glossary.md")] == []
