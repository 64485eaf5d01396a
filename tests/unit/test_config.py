"""The config: every fault in one sentence behind its key, paths expanded, defaults that keep it short."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from pertprobe.errors import PertprobeError
from pertprobe.evidence import COLUMNS, KEYS
from pertprobe.workflow.checks import check_inputs
from pertprobe.workflow.config import expanded, fill_in, schema_faults, whole_schema
from pertprobe.workflow.references import check_references, control_faults

CONFIG = Path(__file__).resolve().parents[2] / "config"
SCHEMA = whole_schema(CONFIG / "schema.yaml")
MINIMAL = """
run: mine
cells:
  liver:
    path: cells.h5ad
    context_column: cell_line
    context: hepg2
    perturbation_column: gene
    control: non-targeting
models:
  few: {path: model_directory, context: liver}
programs: {gmt: [programs.gmt]}
probes:
  pert_embedding: {}
  knockout: {}
"""
RUNS = sorted(path for path in CONFIG.glob("*.yaml") if "models" in (yaml.safe_load(path.read_text()) or {}))


def changed(path, value):
    """Return the minimal config with one key set (or removed, for None)."""
    config = yaml.safe_load(MINIMAL)
    *parents, last = path.split("/")
    section = config
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    if value is None:
        del section[last]
    return config


def fault(path, value):
    """Return the one fault that a change of the minimal config makes."""
    (found,) = schema_faults(changed(path, value), SCHEMA)
    return found


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_shipped_run_fits_the_schema_and_itself(path):
    config = yaml.safe_load(path.read_text())
    assert schema_faults(config, SCHEMA) == []
    assert check_references(config) == []


def test_the_shipped_runs_are_found():
    assert {"config", "papalexi"} <= {path.stem for path in RUNS}


def test_defaults_keep_a_users_config_at_15_lines():
    config = yaml.safe_load(MINIMAL)
    assert len(MINIMAL.strip().splitlines()) <= 15
    assert schema_faults(config, SCHEMA) == []
    fill_in(config, SCHEMA)
    assert (config["seed"], config["shards"], config["pairs"]) == (0, 1, {"contexts": [], "regimes": []})
    assert config["cells"]["liver"]["n_sets"] == 4
    assert config["models"]["few"]["kind"] == "state"
    assert config["probes"] == {
        "pert_embedding": {"neighbours": 5},
        "knockout": {"genes": 200, "by": "expression", "value": "zero", "perturbation": "control"},
    }
    assert config["statistics"] == {
        "permutations": 9999, "bootstrap": 999, "hold": ["axes", "batch", "seen", "cells"],
    }  # fmt: skip
    assert set(config["levels"]) == {"representation", "routing", "causal"}
    assert config["controls"] == {"redrawn": 5, "cascade": True, "planted": True, "additive": True, "known": True}
    assert config["power"] == {"d": 1, "power": 0.8}
    assert config["reading_words"] == {}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("run", "Mine", "run: the name 'Mine' may hold only a-z, 0-9 and _."),
        ("run", "my run", "run: the name 'my run' may hold only"),
        ("run", "../mine", "run: the name '../mine' may hold only"),
        ("run", "", "run: is empty text."),
        ("shards", 0, "shards: 0 is below 1, the least that it may be."),
        ("seed", "zero", "seed: 'zero' is text, a whole number of 0 or more is expected."),
        ("cells/liver/n_sets", 0, "cells.liver.n_sets: 0 is below 1"),
        ("cells/liver/normalisation", "log2", "cells.liver.normalisation: 'log2' is not one of 'log1p', 'counts'"),
        ("cells/liver/control", None, "cells.liver: 'control' missing (has 'path', 'context_column'"),
        ("cells", {}, "cells: is empty. Give it at least one entry."),
        ("models/few/path", None, "models.few: give either path or train, never both (found neither)."),
        ("models/few/train", {}, "models.few: give either path or train, never both (found 'path', 'train')."),
        ("models/few/attention", "full", "models.few.attention: 'full' is not one of 'flag'"),
        ("models/Few-1", {"path": "x", "context": "liver"}, "models: the name 'Few-1' may hold only a-z, 0-9 and _."),
        ("probes/knockout/genes", "most", "probes.knockout.genes: 'most' is not one of the forms allowed ('all', "),
        ("pairs/contexts", [["few"]], "pairs.contexts.0: ['few'] has 1 entries, 2 are the least."),
        ("thresholds/knockout", [["q", "=<", 1]], "thresholds.knockout.0.1: '=<' is no sign (known: <, <="),
        ("probes", None, "config: 'probes' missing"),
        ("controls/redrawn", -1, "controls.redrawn: -1 is below 0"),
        ("controls/planted", {"d": 2}, "controls.planted: {d: ...} is a section with keys, true or false is expected."),
        ("power/power", 1, "power.power: 1 is not below 1."),
    ],
)
def test_a_fault_is_one_sentence_that_starts_with_its_key(path, value, words):
    text = fault(path, value)
    assert text.startswith(words)
    assert text.endswith((".", "?"))
    assert "\n" not in text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("probs", "config: unknown key 'probs'; did you mean 'probes'?."),
        ("models/few/atention", "models.few: unknown key 'atention'; did you mean 'attention'?."),
        (
            "probes/nonsense_at_all",
            "probes: unknown key 'nonsense_at_all' (known: 'activation_patching', 'cell_",
        ),
    ],
)
def test_an_unknown_key_is_met_with_what_may_be_meant(path, words):
    assert fault(path, 1).startswith(words.removesuffix("."))


def test_several_faults_come_together_and_in_order():
    config = changed("shards", 0)
    config |= dict.fromkeys(["sedd", "another", "zzz", "mmm", "bbb", "yyy", "ccc"], 1)
    config["models"]["few"] = {"context": "liver", "atention": "flag"}
    found = schema_faults(config, SCHEMA)
    assert [text.split(":")[0] for text in found] == [*["config"] * 7, "models.few", "models.few", "shards"]
    unknown = [text.split("'")[1] for text in found[:7]]
    assert unknown == sorted(unknown)


def test_results_and_variables_are_expanded_everywhere(monkeypatch):
    monkeypatch.setenv("WHERE", "data")
    monkeypatch.delenv("ELSEWHERE", raising=False)
    config = {
        "a": ["<results>/x", {"b": "${WHERE:-else}/y"}],
        "c": "${ELSEWHERE:-../z}/${WHERE}",
        "d": 3,
        "e": "${F:-}",
    }
    before = deepcopy(config)
    found = expanded(config, "results/r")
    assert found == {"a": ["results/r/x", {"b": "data/y"}], "c": "../z/data", "d": 3, "e": ""}
    assert config == before


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("WHERE", raising=False)
    with pytest.raises(PertprobeError, match=r"config: \$\{WHERE\} needs the environment variable WHERE, which is not"):
        expanded({"a": "${WHERE}/x"}, "results/r")


def test_conditions_may_name_every_measured_column_and_no_other():
    measured = [
        name for name in COLUMNS if name not in {*KEYS, "unit", "explained_by", "p_used", "evaluable", "reason"}
    ]
    named = SCHEMA["$defs"]["column"]["enum"]
    assert sorted(named) == sorted(measured)
    assert len(named) == len(set(named))


def test_the_probes_of_each_level_that_count_by_default():
    config = yaml.safe_load(MINIMAL)
    fill_in(config, SCHEMA)
    assert config["levels"] == {
        "representation": ["output_clustering", "pert_embedding", "sae_features"],
        "routing": ["activation_patching", "detached_jacobian", "routing_coherence"],
        "causal": ["knockout", "regulon_recovery", "targeted_jacobian"],
    }


def test_defaults_are_filled_in_where_a_section_was_given_and_change_nothing_that_was():
    config = changed("sae", {"joint": {"models": ["few"], "k": 5}}) | {"pairs": {"contexts": [["few", "few"]]}}
    fill_in(config, SCHEMA)
    assert (config["sae"]["joint"]["k"], config["sae"]["joint"]["expansion"]) == (5, 8)  # behind a reference
    assert config["pairs"] == {"contexts": [["few", "few"]], "regimes": []}
    assert config["thresholds"]["pert_embedding"] == [["q", "<", 0.05], ["excess_redrawn_low", ">", 0]]
    assert "input_sensitivity" not in config["thresholds"]  # it is not judged


def test_every_config_has_defaults_of_its_own():
    first, second = yaml.safe_load(MINIMAL), yaml.safe_load(MINIMAL)
    fill_in(first, SCHEMA)
    first["thresholds"]["pert_embedding"].clear()
    fill_in(second, SCHEMA)
    assert len(second["thresholds"]["pert_embedding"]) == 2


def test_a_condition_on_an_unknown_column_is_a_fault():
    faults = schema_faults(changed("thresholds/pert_embedding", [["estimat", ">", 0.4]]), SCHEMA)
    assert faults == [
        "thresholds.pert_embedding.0.0: 'estimat' is no measured column of the evidence. Did you mean 'estimate'?"
    ]


def made_by_itself(thresholds, **controls):
    """Return a config that opens no file: the run simulates its cells and trains its model."""
    config = changed("simulate", {})
    config |= {"models": {"few": {"train": {}, "context": "liver"}}, "controls": controls}
    config["programs"] = {"lists": {"p": ["G1"]}}
    config["cells"]["liver"]["path"] = "<results>/simulated/cells.h5ad"
    return config | {"thresholds": {"knockout": thresholds, "not_a_probe_of_the_run": thresholds}}


COPIES = [["q", "<", 0.05], ["excess_redrawn_low", ">", 0]]


@pytest.mark.parametrize("column", ["excess_redrawn", "excess_redrawn_low"])
def test_a_threshold_on_copies_that_are_not_drawn_is_a_fault(column):
    faults = list(control_faults(made_by_itself([["q", "<", 0.05], [column, "<", 0.5]], redrawn=0)))
    assert faults == [
        f"thresholds.knockout: {column} is asked for, but controls.redrawn is 0. Set it to 5, or ask less"
    ]


@pytest.mark.parametrize(
    ("thresholds", "controls"), [(COPIES, {"redrawn": 1}), (COPIES, {}), (COPIES[:1], {"redrawn": 0})]
)
def test_thresholds_that_the_run_can_answer_are_no_fault(thresholds, controls):
    config = made_by_itself(thresholds, **controls)
    assert list(control_faults(config)) == []
    check_inputs(config)


def test_a_reading_may_be_called_otherwise_and_no_other_word_replaced():
    assert schema_faults(changed("reading_words", {"one": "marginal", "none": "null"}), SCHEMA) == []
    (found,) = schema_faults(changed("reading_words", {"mechanistic": "good"}), SCHEMA)
    assert found.startswith("reading_words")
    assert "mechanistic" in found


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_shipped_run_fits_the_preset_published(path):
    config = yaml.safe_load(path.read_text()) | yaml.safe_load((CONFIG / "published.yaml").read_text())
    assert schema_faults(config, SCHEMA) == []


@pytest.mark.parametrize(("probe", "kind"), [("regime_agreement", "regimes"), ("conserved_features", "contexts")])
def test_a_probe_of_pairs_without_a_pair_is_a_fault(probe, kind):
    config = changed(f"probes/{probe}", {})
    assert check_references(config) == [
        f"probes.{probe}: pairs.{kind} lists no two models to compare. Name two, or leave the probe out"
    ]
    config["models"]["other"] = {"path": "elsewhere", "context": "liver" if kind == "regimes" else "lung"}
    config["cells"]["lung"] = config["cells"]["liver"]
    config["pairs"] = {kind: [["few", "other"]]}
    assert check_references(config) == []


def test_a_probe_that_tests_what_another_measures_needs_it_beside():
    assert fault("probes/conserved_features", {}) == (
        "probes: conserved_features reads what 'sae_features' makes, which is missing. Add it or leave it out."
    )


def test_pairs_that_do_not_compare_what_they_say_are_faults():
    config = changed("models/zero", {"path": "elsewhere", "context": "liver"})
    config["pairs"] = {"contexts": [["few", "zero"]], "regimes": [["few", "zero"], ["few", "few"]]}
    assert check_references(config) == [
        "pairs.contexts: [few, zero] are not models of two contexts",
        "pairs.regimes: [few, few] are not two models of one context",
    ]


@pytest.mark.parametrize("wanted", [True, False, "all", ["knockout", "cell_diagonal"]])
def test_models_of_known_kind_may_be_wanted_in_probes_by_name(wanted):
    config = changed("controls", {"known": wanted})
    assert schema_faults(config, SCHEMA) == []
    assert check_references(config) == []


def test_a_probe_that_cannot_ask_models_of_known_kind_is_a_fault():
    (found,) = check_references(changed("controls", {"known": ["knockout", "pert_embedding"]}))
    assert found.startswith(
        "controls.known: 'pert_embedding' is not under the probes that can ask models of known kind"
    )
    assert schema_faults(changed("controls", {"known": []}), SCHEMA)
