"""Every leaf and key of a config that has them all, changed in every way that was thought of: none goes unsaid."""

import math
import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from pertprobe.errors import PertprobeError
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.config_files import read_keys
from pertprobe.workflow.settled import config_faults, settled

CONFIG = Path(__file__).resolve().parents[2] / "config"
SCHEMA = whole_schema(CONFIG / "schema.yaml")
WRONG: list[Any] = [
    None, True, False, 0, 1, 2, -1, 2.0, 0.5, 2.5, 1e5, 1e30, 10**12, 10**400, -0.0,
    math.nan, math.inf, -math.inf, "", " ", "true", "nan", "0.05", "1", "x", "No Such Name", "a\x00b", "a\u200bb",
    "a\nb", "x" * 5000, "${PERTPROBE_NOT_SET}", "{wildcard}", "<nothing>/x", "~", [], {}, [None], [[]], [True], ["x"],
    ["x", "x"], [1, 2], [[1]], {"x": None}, {"x": {"y": []}}, {1: 2}, {None: 1}, {True: {}},
    date(2026, 1, 2), b"x", {"x"}, (1, 2),
]  # fmt: skip
"""What stands in place of every leaf, list and section."""
SCHEMA_WORDS = ("is not of type", "does not match", "NoneType", "additionalProperties", "is not valid under",
                "Traceback", "^[a-z", "object at 0x", "is too short", "is too long", "than the minimum")  # fmt: skip
"""Words of the schema and of Python, which nobody should have to read."""


def full() -> dict[str, Any]:
    """Return a config with every key: the demo's, with what the demo leaves out."""
    config = yaml.safe_load((CONFIG / "config.yaml").read_text())
    config |= {
        "memory_gb": 2, "pilot": False, "style": "a.mplstyle", "given_up": {"draw/knockout": "failed: x"},
        "atlas": {"models": ["a_fewshot"], "perturbations": ["g001"], "derivative": "total", "dtype": "float32"},
        "power": {"d": 2, "power": 0.8}, "answer": {"delta": 0.25, "most": 0.5}, "reading_words": {"one": "marginal"},
        "thresholds": {"knockout": [["q", "<", 0.05], ["n", ">=", 3], ["effect", ">", 0.1]]},
        "levels": {"causal": ["knockout"], "routing": ["routing_coherence"], "representation": ["pert_embedding"]},
        "calibration": {"seed": 1, "nulls": {"draws": 20}, "foreign": {"worlds": ["hill"], "screen": {"genes": 40}}},
    }  # fmt: skip
    config["statistics"] |= {"hold": ["axes"]}
    config["controls"] |= {"cascade": True, "planted": True, "known": ["knockout"]}
    config["programs"] |= {"patterns": {"ribosome": "^RP"}, "lists": {"mine": ["G1", "G2"]}}
    config["models"]["a_fewshot"] = {
        "kind": "state", "path": "m", "checkpoint": "final.ckpt", "attention": "flag", "dtype": "float32",
        "tf32": False,        "context": "line_a", "regime": "fewshot", "split": "s.toml",
    }  # fmt: skip
    config["panels"]["program_1"] |= {"signs": {"g081>g084": 1}, "perturbations": ["g001"], "controls": ["g002"]}
    config["sae"]["joint"] |= {"kind": "topk", "cells": 100, "steps": 5, "seeds": 2, "l1": 0.1}
    config["sae"]["given"] = {
        "models": ["a_fewshot"],
        "path": "x.safetensors",
        "apply_b_dec_to_input": True,
        "layer": 1,
    }
    return config


def places(config: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value, sections and lists among them."""
    if above:
        yield above
    parts = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for key, value in parts:
        yield from places(value, (*above, key))


NEEDED = ("run", "cells", "models", "programs")
"""Sections that every config has here."""
BESIDE = {"probes": ("sae", "panels", "pairs", "controls"), "sae": (), "levels": ()}
"""What stands beside a section that is changed: small configs are looked through faster."""


def around(section: str) -> dict[str, Any]:
    """Return a config of one section with all its keys, and as little else as it can have."""
    names = {*NEEDED, section, *BESIDE.get(section, ())}
    config = {"probes": {"pert_embedding": {}}} | {name: FULL[name] for name in FULL if name in names}
    return deepcopy(config)


def put(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a config in which the value at a path is another."""
    config = around(path[0])
    inner = config
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = deepcopy(value)
    return config


FULL = full()
PLACES = list(places(FULL))
ALL = bool(os.environ.get("PERTPROBE_ALL_FAULTS"))
"""Whether every value is put in every place, as `make faults` does; otherwise each in some."""
STRIDE = 1 if ALL else 11


def tried() -> list[tuple[tuple[Any, ...], Any]]:
    """Return each place with the values that are put in it: all, or in turn."""
    pairs = [(path, value) for path in PLACES for value in WRONG]
    return pairs[::STRIDE]


def in_words(config: dict[str, Any]) -> list[str]:
    """Return the faults of a config; fails where Python or the schema speak in place of us, or two readings differ."""
    try:
        found = settled(config, SCHEMA)
    except PertprobeError as error:
        faults = list(getattr(error, "messages", (str(error),)))
        for text in faults:
            assert not any(words in text for words in SCHEMA_WORDS), text
            assert text.isprintable(), text
            assert len(text) < 1500, text
        return faults
    assert typed(found)
    return []


def typed(value: Any) -> bool:
    """Return whether a settled config holds texts, finite numbers, lists and sections with keys of text alone."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and typed(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(typed, value))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def same_kind(old: Any, new: Any) -> bool:
    """Return whether a value may pass for another: both text, numbers, true or false, lists, or sections."""
    kinds = [(bool,), (int, float), (str,), (list,), (Mapping,)]
    return any(isinstance(old, kind) and isinstance(new, kind) for kind in kinds)


FREE = {"style", "pathvars", "batch_column", "genes", "known", "checkpoint", "layer", "perturbations", "controls"}
"""Keys that may hold values of more than one kind."""


def test_the_config_that_is_changed_has_no_fault(monkeypatch):
    assert in_words(full()) == []


def test_a_wrong_value_of_any_leaf_is_said_or_is_right():
    passed = []
    for path, value in tried():
        old = FULL
        for part in path:
            old = old[part]
        faults = in_words(put(path, value))
        left_out = path[0] == "probes" and len(path) == 2 and value is False
        if not faults and not same_kind(old, value) and not FREE & {*path} and not left_out:
            passed.append((path, value))
    assert passed == []


def test_a_misspelled_key_or_one_on_the_wrong_level_is_said():
    own = {"cells", "models", "panels", "sae", "lists", "patterns", "regulons", "given_up", "signs", "pathvars"}
    for path in (each for each in PLACES if isinstance(each[-1], str)):
        if len(path) > 1 and path[-2] in own:
            continue  # a name of the user's
        wrong = f"{path[-1]}z"
        config = put((*path[:-1], wrong), 1)
        assert any(wrong in fault for fault in config_faults(config, SCHEMA)), path
    for section in FULL:
        config = around("statistics")
        config["statistics"][section] = deepcopy(FULL[section])
        assert any(f"'{section}'" in fault for fault in config_faults(config, SCHEMA))


def doubled(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each key that has its value beside it, and the config with that key written twice."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        key, colon, value = line.partition(":")
        if colon and key.strip().isidentifier() and value:
            yield number + 2, "\n".join([*lines[: number + 1], f"{key}: 1", *lines[number + 1 :]])


def test_every_key_that_stands_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "run.yaml"
    tried = list(doubled(yaml.safe_dump(FULL, sort_keys=False)))
    for line, twice in tried:
        path.write_text(twice)
        with pytest.raises(PertprobeError, match=f"line {line}: the key '.*' stands twice"):
            read_keys(path)
    assert len(tried) > 60
