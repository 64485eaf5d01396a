"""What probes declare: every file fits its schema and the others, a fault is one sentence, reading it stays light."""

import re
import subprocess
import sys
from dataclasses import fields
from itertools import chain
from typing import get_args

import pytest
import yaml
from jsonschema import Draft202012Validator

from pertprobe.errors import PertprobeError
from pertprobe.evidence import COLUMNS
from pertprobe.models.base import Capability
from pertprobe.probes import declaration, load_probe
from pertprobe.probes.declaration import FOLDER, SPACE_OF_RESPONSES, all_declared, declared, probe_names

SCHEMA = yaml.safe_load((FOLDER / "schema.yaml").read_text())
EVERY = [*probe_names(), SPACE_OF_RESPONSES]
REFERRED = {"sae", "panels", "genes", "perturbations", "layers", "programs", "regulons"}
"""What checks look names up in."""
HEAVY = {"torch", "pandas", "numpy", "xarray", "scipy", "sklearn", "matplotlib"}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return a function that declares a probe called `mine`: the least there is, with changes."""
    monkeypatch.setattr(declaration, "FOLDER", tmp_path)
    (tmp_path / "schema.yaml").write_text((FOLDER / "schema.yaml").read_text())
    least = {"question": "why?", "level": "causal", "unit": "gene", "needs": ["predict"]}

    def write(**changes):
        given = {key: value for key, value in (least | changes).items() if value is not None}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(given))
        forget()
        return declared("mine")

    yield write
    monkeypatch.undo()
    forget()


def forget():
    """Forget what was read of declarations."""
    for each in (declared, probe_names, declaration._validator):
        each.cache_clear()


@pytest.mark.parametrize("name", probe_names())
def test_a_probe_has_the_functions_that_its_declaration_promises(name):
    probe, module = declared(name), load_probe(name)
    promised = {"questions", "draw"}
    promised |= {"tables"} if probe.tables["names"] else set()
    promised |= set() if probe.measured_by else {"units", "measure"}
    possible = {"questions", "draw", "tables", "units", "measure"}
    assert {each for each in possible if hasattr(module, each)} == promised


def test_the_schema_of_declarations_is_one_and_has_a_field_for_each_key():
    Draft202012Validator.check_schema(SCHEMA)
    assert {each.name for each in fields(declaration.Declaration)} == {"name", *SCHEMA["properties"]}


@pytest.mark.parametrize("name", EVERY)
def test_a_declaration_fits_its_schema_and_what_it_names_is_there(name):
    probe = declared(name)
    assert probe.measured_by in ("", *EVERY)
    assert probe.needs <= set(get_args(Capability))
    assert all(each.get("compared_in", probe.primary) in probe.statistics for each in probe.statistics.values())
    settings = set(probe.settings)
    given = {*probe.required, *probe.together, *chain(*probe.together.values()), *filter(None, [probe.files])}
    depends = probe.depends["settings"]
    assert given <= settings
    assert depends == "all" or set(depends) <= settings
    assert set(probe.tables) <= set(SCHEMA["properties"]["tables"]["properties"])
    assert {condition[0] for condition in probe.thresholds} <= set(COLUMNS)
    assert (name == SPACE_OF_RESPONSES) == (not probe.statistics)


@pytest.mark.parametrize("name", probe_names())
def test_settings_are_pieces_of_schema_that_say_what_they_mean(name):
    for key, piece in declared(name).settings.items():
        Draft202012Validator.check_schema(piece)
        assert piece["description"], key
        assert piece.get("refers_to") in {None, *REFERRED}, key
        if "default" in piece:
            Draft202012Validator(piece).validate(piece["default"])


@pytest.mark.parametrize("name", probe_names())
def test_a_probe_that_counts_is_judged_at_a_level(name):
    probe = declared(name)
    assert bool(probe.thresholds) or not probe.counted
    assert probe.level != "none" or not probe.thresholds


def test_a_control_statistic_is_asked_of_copies_and_the_scale_of_each_is_said():
    probe = declared("sae_features")
    assert (probe.primary, probe.compared_in) == ("coherence", "coherence_hidden")
    assert set(probe.control_statistics) == {"coherence_hidden", "consistency_hidden"}
    assert set(probe.common_scale) == {"consistency", "consistency_hidden"}
    with_controls = [each for each in all_declared().values() if each.control_statistics]
    assert all(each.compared_in in each.control_statistics for each in with_controls)
    assert len(with_controls) == len(all_declared()) - 1  # intervention_fidelity is compared with rivals


@pytest.mark.parametrize(
    ("wanted", "beside"),
    [
        (False, set()),
        (True, {"intervention_fidelity"}),
        (["knockout"], {"intervention_fidelity", "knockout"}),
        ("all", {name for name, probe in all_declared().items() if probe.known_kinds}),
    ],
)
def test_models_of_known_kind_stand_where_they_always_do_and_where_they_are_wanted(wanted, beside):
    assert {name for name, probe in all_declared().items() if probe.stands_beside_known(wanted)} == beside


def test_settings_that_refer_to_something_are_found_by_what():
    assert list(declared("regulon_recovery").referring("regulons")) == ["regulons"]
    assert list(declared("pert_embedding").referring("sae")) == []


def test_a_value_of_a_setting_can_make_a_measurement_read_more():
    probe = declared("knockout")
    assert "observed" not in probe.reads
    assert probe.reads_under(probe.default_settings) == probe.reads_under({}) == probe.reads
    assert probe.reads_under({"value": "observed"}) == (*probe.reads, "observed")


def test_what_is_left_out_has_the_default_of_the_schema(written):
    probe = written(statistics={"score": {}}, depends={"seed": True})
    assert (probe.counted, probe.pairs, probe.measured_by) == (False, ("contexts", "regimes"), "")
    assert probe.statistics == {"score": {"control": False, "scale": None, "symmetric": False}}
    assert probe.depends == {"settings": "all", "layer": False, "panels": [], "seed": True}
    assert (probe.primary, probe.compared_in, probe.measurement) == ("score", "score", "mine")
    assert probe_names() == ("mine",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"level": "deep"}, r"\$\.level: 'deep' is not one of"),
        ({"needs": None}, r"\$: 'needs' is a required property"),
        ({"keeps": []}, r"\$: .*'keeps' was unexpected"),
        ({"statistics": {"score": {"scale": "own"}}}, r"\$\.statistics\.score\.scale: 'own' is not one of"),
        ({"depends": {"cells": True}}, r"\$\.depends: .*'cells' was unexpected"),
        ({"pairs": ["models"]}, r"\$\.pairs\[0\]: 'models' is not one of"),
        ({"space": {"name": "s"}}, r"\$\.space: 'variable' is a required property"),
    ],
)
def test_a_broken_declaration_is_refused_by_file_and_key(written, changes, words):
    with pytest.raises(PertprobeError, match=rf"^mine\.yaml: .*{words}"):
        written(**changes)


def test_reading_declarations_imports_nothing_heavy():
    code = "from pertprobe.probes.declaration import all_declared; all_declared()"
    command = [sys.executable, "-X", "importtime", "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    imported = set(re.findall(r"^import time:.*\| +(\w+)", said, re.MULTILINE))
    assert "jsonschema" in imported
    assert imported & HEAVY == set()
