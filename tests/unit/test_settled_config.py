"""A config as a run reads it: whole numbers as such, paths filled in, and what it leaves nothing to ask."""

from pathlib import Path

import pytest
import yaml
from test_config import MINIMAL, SCHEMA, changed

from pertprobe.errors import Faults
from pertprobe.workflow.given_files import path_faults
from pertprobe.workflow.references import check_references
from pertprobe.workflow.settled import config_faults, filled, settled
from pertprobe.workflow.unaskable import unaskable, unmeasured


def faults(path, value):
    return config_faults(changed(path, value), SCHEMA)


def test_a_whole_number_may_be_written_with_a_point_and_changes_nothing():
    config = changed("cells/liver/set_size", 32.0) | {"shards": 2.0, "memory_gb": 2.0, "thresholds": {}}
    config["probes"]["knockout"]["genes"] = 5.0
    found = settled(config, SCHEMA)
    sizes = found["shards"], found["cells"]["liver"]["set_size"], found["probes"]["knockout"]["genes"]
    assert sizes == (2, 32, 5)
    assert [type(each) for each in sizes] == [int, int, int]
    assert isinstance(found["memory_gb"], float)  # no whole number


def test_paths_are_filled_in_and_other_texts_are_not(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    config = changed("models/few/path", "~/models/few")
    config["cells"]["liver"] |= {"path": "$DATA/cells.h5ad", "control": "~/ntc"}
    config["programs"] = {"gmt": ["${DATA}/a.gmt"], "patterns": {"ribosome": "^RP$"}}
    config["probes"]["regulon_recovery"] = {"regulons": {"mine": "~/r.tsv"}}
    found = settled(config, SCHEMA)
    assert found["models"]["few"]["path"] == "/home/me/models/few"
    assert (found["cells"]["liver"]["path"], found["cells"]["liver"]["control"]) == ("/data/cells.h5ad", "~/ntc")
    assert (found["programs"]["gmt"], found["programs"]["patterns"]) == (["/data/a.gmt"], {"ribosome": "^RP$"})
    assert found["probes"]["regulon_recovery"]["regulons"] == {"mine": "/home/me/r.tsv"}


def test_every_variable_that_is_not_set_is_named_behind_its_key(monkeypatch):
    monkeypatch.delenv("NOT_HERE", raising=False)
    config = changed("models/few/path", "$NOT_HERE/few")
    config["cells"]["liver"]["control"] = "${NOT_HERE}"
    assert [each.partition(":")[0] for each in config_faults(config, SCHEMA)] == [
        "cells.liver.control",
        "models.few.path",
    ]


def test_what_a_variable_holds_is_looked_at_too(monkeypatch):
    monkeypatch.setenv("NOTHING", "")
    with pytest.raises(Faults, match=r"cells\.liver\.control: is empty text"):
        settled(changed("cells/liver/control", "${NOTHING}"), SCHEMA)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("models", {"a": None}, "models.a: is empty, a section with keys is expected. Give it one, or leave the key"),
        ("programs", {}, "programs: names no gene set. Give gmt, patterns or lists"),
        ("programs", {"lists": {"p": []}}, "programs.lists.p: names no gene."),
        ("programs", {"gmt": ["a.gmt", "a.gmt"]}, "programs.gmt: a.gmt stands twice."),
        ("programs", {"lists": {"a ": ["G1"]}}, "programs.lists: the name 'a ' begins or ends with a space."),
        ("programs", {"lists": {"a": [6755]}}, "programs.lists.a.0: 6755 is a number, text is expected. Put it in"),
        ("programs", {"lists": {7: ["G1"]}}, "programs.lists: a key is 7, a number, where text is expected."),
        ("programs", {"patterns": {"p": "(RP"}}, "programs.patterns.p: '(RP' is not a regular expression (missing )"),
        ("run", "x" * 80, "run: the name 'xxxxx"),
        ("run", "mine\n", "run: 'mine\\x0a' holds the sign U+000A, which cannot be shown."),
        ("seed", 2**40, "seed: 1099511627776 is too large, 2147483647 is the most of any whole number."),
        ("atlas", {"perturbations": ["A", "A"]}, "atlas.perturbations: 'A' stands twice. Name each once."),
        ("cells/liver/path", "{x}.h5ad", "cells.liver.path: '{x}.h5ad' holds braces, which Snakemake reads"),
        ("cells/liver/path", "<data>/x", "cells.liver.path: '<data>/x' holds <data>; <results>, the folder of this"),
        ("pathvars", {"results": "x"}, "pathvars.results: results go to results/<run>, which run alone decides."),
        ("pathvars", 5, "pathvars: 5 is a number, a section with keys is expected."),
    ],
)  # fmt: skip
def test_what_would_go_wrong_without_a_word_is_said(path, value, words):
    found = faults(path, value)
    assert any(each.startswith(words) for each in found), found


def test_pairs_that_stand_twice_or_are_turned_round_are_faults():
    config = changed("models/zero", {"path": "z", "context": "liver", "regime": "zeroshot"})
    config["models"]["few"]["regime"] = "fewshot"
    config["pairs"] = {"regimes": [["few", "zero"], ["few", "zero"], ["zero", "few"]]}
    twice, turned = check_references(config)
    assert twice == "pairs.regimes: [few, zero] stands twice. Name each pair once"
    assert turned.startswith("pairs.regimes: [zero, few] are zeroshot and fewshot; the few-shot model stands first")


def test_each_given_path_is_said_behind_its_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("programs.gmt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    Path("model_directory").write_text("x")
    assert path_faults(filled(yaml.safe_load(MINIMAL), SCHEMA)) == [
        f"cells.liver: cells.h5ad does not exist (looked for in {tmp_path})",
        "models.few: model_directory is a file where a folder is needed",
        "programs: programs.gmt is a Git LFS pointer of 9 bytes: fetch the file (git lfs pull)",
    ]


def test_what_a_config_leaves_nothing_to_ask_is_known_before_anything_is_measured():
    config = yaml.safe_load(MINIMAL)
    config["probes"] |= {"targeted_jacobian": {}, "cell_diagonal": {}}
    alone = "no pair under pairs.contexts: two models are compared"
    none = {"knockout": alone, **dict.fromkeys(("targeted_jacobian", "cell_diagonal"), "no panel for this program")}
    found = filled(config, SCHEMA)
    assert unaskable(found) == unmeasured(found) == none
    config["models"]["other"] = {"path": "o", "context": "lung"}
    config["cells"]["lung"] = config["cells"]["liver"]
    config |= {
        "pairs": {"contexts": [["few", "other"]]},
        "panels": {"p": {"program": "x", "regulators": ["A"], "targets": ["B"]}},
    }
    assert unaskable(filled(config, SCHEMA)) == {}


def test_a_measurement_is_made_where_one_of_its_readers_can_ask():
    config = changed("probes/output_clustering", {}) | {"pairs": {"regimes": []}}
    config["probes"]["regime_agreement"] = {}
    found = filled(config, SCHEMA)
    assert set(unaskable(found)) == {"knockout", "regime_agreement"}
    assert set(unmeasured(found)) == {"knockout"}  # delta_y is read by another


def test_a_further_file_leaves_out_a_probe_of_a_first():
    config = changed("probes/cell_diagonal", {"error": 0.2})
    config["probes"]["knockout_linearity"] = {}
    assert {"cell_diagonal", "knockout_linearity"} < set(settled(config, SCHEMA)["probes"])
    config["probes"] |= {"cell_diagonal": False}
    assert "cell_diagonal" not in settled(config, SCHEMA)["probes"]
    assert config["probes"]["cell_diagonal"] is False


def test_a_probe_that_there_is_not_cannot_be_left_out_nor_can_all_that_there_are():
    (fault,) = config_faults(changed("probes/pert_embeddings", False), SCHEMA)
    assert "pert_embedding'" in fault
    config = yaml.safe_load(MINIMAL)
    config["probes"] = dict.fromkeys(config["probes"], False)
    assert [each.partition(":")[0] for each in config_faults(config, SCHEMA)] == ["probes"]


def test_default_thresholds_ask_for_no_copies_where_none_are_drawn():
    config = yaml.safe_load(MINIMAL) | {"controls": {"redrawn": 0}}
    config["probes"]["pert_embedding"] = {}
    plain = settled(yaml.safe_load(MINIMAL), SCHEMA)["thresholds"]
    found = settled(config, SCHEMA)["thresholds"]
    assert found["pert_embedding"] == [["q", "<", 0.05]]
    assert found == {probe: [each for each in asked if "redrawn" not in each[0]] for probe, asked in plain.items()}
    assert found != plain
    config["thresholds"] = {"pert_embedding": [["excess_redrawn_low", ">", 0]]}
    with pytest.raises(Faults, match=r"excess_redrawn_low is asked for, but controls\.redrawn is 0"):
        settled(config, SCHEMA)
