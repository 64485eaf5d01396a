"""The page of errors: what it shows as a symptom is what the code says, and each has a cause and a remedy."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
TOLD_BY_OTHERS = (
    "WorkflowError in file",
    "Config file is not valid JSON or YAML",
    "LockException",
    "MissingInputException",
    "faults:",
)
"""Words of Snakemake and of the checker of schemas."""
SHORTEST = 8
"""Letters of a message that must stand in the code as they are, between what it fills in."""


def symptoms(section):
    """Return what a section shows as symptoms, a line or a span of code each."""
    shown = section.partition("**Symptom**")[2].partition("**Cause.**")[0]
    lines = [
        line.strip() for block in re.findall(r"^```\n(.*?)^```", shown, re.M | re.S) for line in block.splitlines()
    ]
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```\n.*?^```", "", shown, flags=re.M | re.S))
    return [" ".join(each.split()) for each in [*lines, *spans] if " " in each.strip()]


@cache
def templates():
    """Return the literal parts of every text of the library, in order: what stands between what is filled in."""
    found = []
    for path in (ROOT / "src/pertprobe").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            words = [each.value for each in parts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            found.append([" ".join(word.split()) for word in words if word.strip()])
    return [words for words in found if any(len(word) >= SHORTEST for word in words)]


def said(symptom):
    """Return whether a text of the library can be this symptom, or a part of it."""
    if any(words in symptom for words in TOLD_BY_OTHERS):
        return True
    return any(re.search(".*".join(map(re.escape, words)), symptom) for words in templates())


@pytest.mark.parametrize("title", SECTIONS)
def test_every_symptom_is_said_by_the_code(title):
    assert [each for each in symptoms(SECTIONS[title]) if not said(each)] == []


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_has_a_symptom_a_cause_and_a_remedy(title):
    assert re.search(r"\*\*Symptom\*\*.*\*\*Cause\.\*\*.*\*\*Remedy\.\*\*", SECTIONS[title], re.DOTALL)


def test_a_symptom_that_nobody_says_is_found():
    assert not said("models.a: its genes are wrongly spelt in 3 places")
    assert said("models.a: 240 of 240 genes of the model are missing from space 'X' of cells.d: G000, G001, ...")
