"""`pertprobe check`: every fault at once, then what can be asked, at what power and cost; what a user reads of it."""

import io
import json
import re

import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from pertprobe.data.programs import Programs, read_panels
from pertprobe.probes.declaration import all_declared
from pertprobe.stages.reasons import in_short
from pertprobe.workflow.commands import app
from pertprobe.workflow.commands.check_page import page
from pertprobe.workflow.commands.place import workflow_folder
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.prospects.answers import Reach, answers
from pertprobe.workflow.prospects.askable import Known, askable
from pertprobe.workflow.prospects.cost import Cost
from pertprobe.workflow.prospects.prospect import Asked, Prospect
from pertprobe.workflow.prospects.reachable import smallest_d, smallest_p, summary, with_power
from pertprobe.workflow.prospects.remedies import remedies
from pertprobe.workflow.settled import filled

PERTURBATIONS = [f"G{i}" for i in range(20)]
CAPABLE = ["predict", "gradient", "stages", "gene_space", "set_function", "redraw", "affine_map"]
MODEL = {
    "perturbations": PERTURBATIONS,
    "genes": [f"G{i}" for i in range(10)],
    "output_genes": [f"G{i}" for i in range(10)],
    "context": "here",
    "regime": "fewshot",
    "capabilities": CAPABLE,
    "seen": dict.fromkeys(PERTURBATIONS, "here"),
    "observed": frozenset(PERTURBATIONS),
    "encoder_saw": None,
}
"""Twenty perturbations, of which ten are genes of the input."""


def run(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def told(result):
    """Return all that a user reads."""
    return result.stdout + result.stderr


@pytest.fixture
def written(tmp_path):
    """Return the function that writes a config and returns its path."""

    def write(config, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
        return path

    return write


@pytest.fixture
def config(shared_path):
    """The Papalexi run in little."""
    cells = {"path": str(shared_path("data/papalexi_thp1_mini_mit.h5ad")), "context_column": "cell_context",
             "context": "rep_1", "perturbation_column": "perturbation", "batch_column": "batch",
             "control": "non-targeting", "space": "X", "genes": "var", "set_size": 32, "n_sets": 3}  # fmt: skip
    return {
        "run": "mine",
        "cells": {"rep_1": cells},
        "models": {"fewshot": {"path": str(shared_path("state/papalexi_fewshot_rep_1")), "context": "rep_1"}},
        "programs": {"lists": {"ifn": ["STAT1", "JAK2", "IFNGR1", "IFNGR2"], "two": ["CAV1", "CD86"]}},
        "panels": {"ifn": {"program": "ifn", "regulators": ["STAT1"], "targets": ["STAT2", "UBE2L6"]}},
        "probes": {"pert_embedding": {}, "targeted_jacobian": {}, "intervention_fidelity": {}},
    }


BARE = {
    "run": "mine",
    "cells": {"here": {"path": "no.h5ad", "context_column": "c", "context": "a", "perturbation_column": "p",
                       "control": "ntc"}},
    "models": {"m": {"path": "no_model", "context": "here"}},
    "programs": {"gmt": ["no.gmt"]},
    "probes": {"pert_embedding": {}},
}  # fmt: skip
"""A config whose files are not there."""


def with_defaults(**changes):
    return filled({**BARE, "probes": {name: {} for name in all_declared()}, **changes}, SCHEMA)


SCHEMA = whole_schema(workflow_folder() / "config" / "schema.yaml")
PROGRAMS = {"three": ["G0", "G1", "G2"], "large": [f"G{i}" for i in range(8)], "one": ["G3", "H1", "H2"]}


def known(model=None, programs=None, panels=None, **others):
    models = {"m": {**MODEL, **(model or {})}, **others}
    programs = Programs(PROGRAMS if programs is None else programs)
    return Known(models, programs, read_panels(panels or {}, programs, PERTURBATIONS))


# Faults


def test_a_config_that_is_not_there_is_named_with_a_remedy(tmp_path):
    result = run("--config", tmp_path / "no.yaml")
    assert result.exit_code == 1
    assert f"{tmp_path / 'no.yaml'}: cannot be read (No such file or directory)" in told(result)


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "is no YAML"), ("", "holds no keys"), ("- a\n- b", "holds no keys")]
)
def test_what_is_no_config_is_refused_in_words(written, text, words):
    result = run("--config", written(text))
    assert result.exit_code == 1
    assert words in told(result)
    assert "Traceback" not in told(result)


def test_without_a_config_the_option_is_named():
    result = run()
    assert result.exit_code == 2
    assert "--config" in told(result)


def test_faults_of_keys_of_names_and_of_files_come_together(written):
    broken = {**BARE, "seeed": 1, "sae": {"joint": {"models": ["n"]}}}
    result = run("--config", written(broken))
    assert result.exit_code == 1
    text = told(result)
    assert "config: unknown key 'seeed'; did you mean 'seed'?" in text
    assert "sae.joint.models: 'n' is not under models (found: m)" in text
    assert "models.m: " in text
    assert "cells.here: " in text
    assert "programs: no.gmt does not exist (looked for in " in text
    assert text.count("sae.joint.models") == 1


def test_a_config_without_what_is_required_says_that_files_were_not_all_read(written):
    result = run("--config", written({key: BARE[key] for key in ("run", "models", "programs", "probes")}))
    assert result.exit_code == 1
    assert "'cells' missing" in told(result)
    assert "Traceback" not in told(result)


def test_a_broken_panel_does_not_hide_the_faults_of_files(written):
    result = run("--config", written({**BARE, "run": 5, "panels": {"p": {"program": "x"}}}))
    text = told(result)
    assert "panels.p: 'regulators', 'targets' missing (has 'program') [" in text
    assert "run: 5 is a number, text is expected. Put it in quotes, so that it is read as it is written" in text
    assert "cells.here: no.h5ad does not exist" in text
    assert "programs: no.gmt does not exist" in text


def test_a_file_of_another_kind_is_a_fault_in_words(config, written):
    config["models"]["fewshot"]["kind"] = "lookup"
    text = told(run("--config", written(config)))
    assert "models.fewshot: " in text
    assert "known.safetensors). Set path to what this kind reads, or kind to what lies there" in text


def test_a_variable_that_is_not_set_is_named_beside_other_faults(written, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    result = run("--config", written({**BARE, "programs": {"gmt": ["${NOWHERE}/a.gmt"]}}))
    assert result.exit_code == 1
    assert "needs the environment variable NOWHERE, which is not set" in told(result)


def test_a_wrong_column_and_a_wrong_control_are_named_with_what_there_is(config, written):
    config["cells"]["rep_1"]["perturbation_column"] = "gene"
    text = told(run("--config", written(config)))
    assert "cells.rep_1: obs has no column 'gene' (found: " in text
    assert "Set perturbation_column to one of them" in text


def test_faults_for_machines_are_a_list(written):
    result = run("--config", written({**BARE, "seeed": 1}), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["faults"]
    assert any("seeed" in fault for fault in found)
    assert any(fault.startswith("models.m: ") for fault in found)


def test_later_files_are_merged_into_earlier_ones(written):
    mended = run("--config", written(BARE), "--config", written({"run": "Not A Name"}, "more.yaml"))
    assert "run: the name 'Not A Name' may hold only" in told(mended)


# What can be asked


def test_a_good_config_says_what_can_be_asked_and_ends_with_a_sentence(config, written):
    result = run("--config", written(config))
    assert result.exit_code == 0, told(result)
    head, *lines = result.stdout.splitlines()
    assert head.split("\t") == ["probe", "model", "programs asked", "smallest d", "why not"]
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in lines if "\t" in line}
    assert rows["pert_embedding"][:2] == ["fewshot", "1 of 2"]
    assert rows["pert_embedding"][3] == "1: fewer than 3 perturbations of the program"
    assert rows["targeted_jacobian"][3] == "1: no panel for this program"
    assert "power.d = 1" in result.stdout
    assert re.search(r"CPU time of all jobs: .+ to .+ \(by timing the models here\); less on a GPU", result.stdout)
    assert "memory of the largest job: " in result.stdout
    assert "nearer: `pertprobe run --pilot` runs all of it at a fraction, and measures" in result.stdout
    assert "no panel for 1 programs (targeted_jacobian): add panels, `pertprobe init` proposes them" in result.stdout
    assert "fewshot: an answer can be reached: " in result.stdout
    assert "nothing says which perturbations fewshot was trained with" in result.stdout
    assert lines[-1] == "3 of 3 probes can be asked; an answer can be reached for 1 of 1 model."


def test_what_machines_read_says_the_same(config, written):
    result = run("--config", written(config), "--json")
    assert result.exit_code == 0, told(result)
    found = json.loads(result.stdout)
    assert found["faults"] == []
    assert (found["askable"], found["probes"], found["answerable"], found["models"]) == (3, 3, 1, 1)
    asked = {each["probe"]: each for each in found["questions"]}
    assert asked["pert_embedding"]["why_not"] == {"fewer than 3 perturbations of the program": 1}
    assert found["conclusion"].startswith("3 of 3 probes")
    expected = found["cost"]["expected"]
    assert 0 < expected["hours_low"] < expected["hours"] < expected["hours_high"]
    assert sum(expected["parts"].values()) == pytest.approx(expected["hours"])
    assert {"pert_embedding", "targeted_jacobian", "intervention_fidelity", "delta_y"} <= expected["parts"].keys()
    assert (expected["untimed"], expected["pilot"], found["cost"]["earlier"]) == ([], "", None)


def test_genes_in_the_wrong_case_are_refused_and_the_right_case_is_named(config, written):
    lists = config["programs"]["lists"]
    config["programs"]["lists"] = {name: [gene.lower() for gene in genes] for name, genes in lists.items()}
    config["panels"] = {}
    result = run("--config", written(config))
    assert result.exit_code == 1
    said = " ".join(told(result).split())
    assert "programs: 0 of 2 programs have a member among perturbations and genes of the models; 2 do in upper" in said
    config["programs"]["spelling"] = "upper"
    assert run("--config", written(config)).exit_code == 0


def test_programs_of_genes_that_were_not_perturbed_are_not_asked_and_another_spelling_is_named(config, written):
    measured = ["ifitm3", "cd74"]
    lists = config["programs"]["lists"]
    config["programs"]["lists"] = {name: [gene.lower() for gene in genes] for name, genes in lists.items()}
    config["programs"]["lists"]["measured"] = ["STAT1X", *measured, "CD86"]
    config["panels"] = {}
    result = run("--config", written(config))
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert "1 of 3 programs have a member among the perturbations of fewshot; 3 do in upper case" in said
    assert "set programs.spelling to 'upper'" in said


def test_without_programs_nothing_could_be_asked_and_the_remedy_is_said(config, written):
    config |= {"programs": {}, "panels": {}}
    result = run("--config", written(config))
    assert result.exit_code == 1
    assert "programs: names no gene set. Give gmt, patterns or lists" in told(result)


def test_a_run_that_makes_its_own_inputs_is_checked_as_far_as_it_can_be():
    result = run("--config", workflow_folder() / "config" / "config.yaml")
    assert result.exit_code == 0, told(result)
    assert "No fault found. The run makes its cells and programs, its models (a_fewshot, " in result.stdout
    assert "jobs that measure: 48" in result.stdout


def test_hours_and_memory_come_from_an_earlier_run_of_this_name(written, tmp_path, monkeypatch):
    demo = yaml.safe_load((workflow_folder() / "config" / "config.yaml").read_text())
    folder = tmp_path / "results" / demo["run"]
    folder.mkdir(parents=True)
    (folder / "run_times.tsv").write_text(
        "rule\tjob\tseconds\tmax_rss_mb\nmeasure\ta\t5400\t700\ntest\tNA\t1800\t1500\n"
    )
    monkeypatch.chdir(tmp_path)
    result = run("--config", written(demo))
    assert f"results/{demo['run']}/run_times.tsv, as its config was): 2 h in 2 jobs, the largest 1.5 GB" in (
        result.stdout
    )


def asked_of(config, found):
    return askable(config, found).set_index(["probe", "model", "program"])


def test_probes_that_compare_are_asked_of_pairs_alone():
    config = with_defaults(
        pairs={"contexts": [["m", "other"]]}, models={name: BARE["models"]["m"] for name in ("m", "other")}
    )
    other = {**MODEL, "perturbations": PERTURBATIONS[:2]}
    table = asked_of(config, known(other=other))
    assert set(table.loc["jacobian_divergence"].index.get_level_values(0)) == {"m vs other"}
    assert table.loc[("jacobian_divergence", "m vs other", "three"), "reason"].startswith("2 perturbations")
    assert table.loc[("regime_agreement", "", "three"), "reason"] == (
        "no pair under pairs.regimes of models that can be read"
    )
    found = known(other=other)
    words = remedies(config, found, with_power(askable(config, found), config), [])
    assert any(
        each.startswith("regime_agreement compares two models: name a pair under pairs.regimes") for each in words
    )


def test_an_answer_counts_knocked_down_genes_that_are_inputs_and_observed():
    config = with_defaults()
    (reach,) = answers(config, known({"observed": frozenset(["G0", "G1", "G2", "G19"])}))
    assert (reach.genes, reach.programs, reach.missing, reach.few) == (("G0", "G1", "G2"), 2, "", True)
    table = asked_of(config, known({"observed": frozenset(["G0", "G1", "G2", "G19"])}))
    assert not table.loc[("intervention_fidelity", "m", "one"), "enough"]
    assert table.loc[("intervention_fidelity", "m", "three"), "among"] == 3


@pytest.mark.parametrize(
    ("model", "probes", "words"),
    [
        ({"observed": frozenset(["G0"])}, None, "1 knocked-down genes are inputs of the model and have cells in here"),
        ({"capabilities": ["predict"]}, None, "the model has no gene_space"),
        ({"encoder_saw": "perturbed"}, None, "that it was not trained with (its encoder saw perturbed cells)"),
        ({}, {"pert_embedding": {}}, "no probe that answers is asked. Add intervention_fidelity: {} under probes"),
    ],
)
def test_why_no_answer_can_be_reached_is_said(model, probes, words):
    config = with_defaults(**({"probes": probes} if probes else {}))
    found = known(model)
    reached = answers(config, found)
    assert words in reached[0].missing
    said = remedies(config, found, with_power(askable(config, found), config), reached)
    assert any(each.startswith("no answer for m: ") and words in each for each in said)


def test_what_models_lack_and_what_was_never_trained_has_a_remedy_once_for_all_models():
    config = with_defaults()
    poor = {"capabilities": ["predict"], "seen": dict.fromkeys(PERTURBATIONS, "never")}
    found = known(poor, other={**MODEL, **poor})
    said = remedies(config, found, with_power(askable(config, found), config), [])
    assert sum("are lacking in m, other" in each for each in said) == 1
    assert any("perturbations that m, other was trained with" in each for each in said)


def test_panels_without_a_measured_pair_are_named():
    config = with_defaults()
    panel = {"p": {"program": "three", "regulators": ["X1"], "targets": ["G1"]}}
    found = known(panels=panel)
    said = remedies(config, found, with_power(askable(config, found), config), [])
    assert any(each.startswith("panels.p: no regulator is an input of m") for each in said)
    assert any(each.startswith("no panel for 2 programs") for each in said)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("2 perturbations of the program (1 more never trained), 3 needed",
         "fewer than 3 perturbations of the program (others never trained)"),
        ("1 measured gene of the program, 2 needed", "fewer than 2 measured genes of the program"),
        ("0 measured regulators of the panel, 3 needed; no pair of regulator and target is measured",
         "fewer than 3 measured regulators of the panel; no pair of regulator and target is measured"),
        ("not evaluable: model has no stages", "model has no stages"),
        ("all but 1 of the 20 perturbations are in the program: no background",
         "nearly all units are in the program: no background"),
    ],
)  # fmt: skip
def test_reasons_lose_the_numbers_of_single_programs(reason, words):
    assert in_short(reason) == words


# Power


def test_the_smallest_effect_is_found_in_four_fifths_of_drawn_programs():
    n, among, alpha = 5, 40, 0.01
    d, rng = smallest_d(n, among, alpha, 0.8), np.random.default_rng(0)
    found = []
    for _ in range(400):
        scores = rng.normal(size=among)
        scores = (scores - scores[n:].mean()) / scores[n:].std()
        scores[:n] += d
        sets = np.argsort(rng.random((2000, among)), axis=1)[:, :n]
        found.append((1 + (scores[sets].mean(axis=1) >= scores[:n].mean()).sum()) / 2001 <= alpha)
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


def test_fewer_units_and_fewer_others_need_larger_effects():
    assert smallest_d(3, 40, 0.01, 0.8) > smallest_d(6, 40, 0.01, 0.8)
    assert smallest_d(3, 10, 0.01, 0.8) > smallest_d(3, 1000, 0.01, 0.8)


def test_the_smallest_p_is_one_of_all_arrangements_or_of_all_draws():
    assert smallest_p(3, 6, 9999) == 1 / 20
    assert smallest_p(10, 100, 9999) == 1 / 99991


def test_programs_whose_q_can_never_be_small_enough_are_said_plainly():
    config = with_defaults(probes={"pert_embedding": {}})
    few = {"perturbations": PERTURBATIONS[:5]}
    found = known(few, programs={"three": ["G0", "G1", "G2"]})
    table = with_power(askable(config, found), config)
    assert (table.p_min.item(), table.reachable.item()) == (1 / 10, False)
    said = remedies(config, found, table, [])
    assert any(
        each.startswith("pert_embedding: q can never fall below its threshold for 1 programs (the smallest q is 0.1, ")
        for each in said
    )


def test_programs_that_are_found_only_beside_others_are_told_from_unknown_ones():
    config = with_defaults(probes={"pert_embedding": {}})
    lists = {f"p{i}": [f"G{i}", f"G{i + 1}", f"G{i + 2}"] for i in range(8)}
    found = known({"perturbations": PERTURBATIONS[:10]}, programs=lists)
    table = with_power(askable(config, found), config)
    assert (table.p_min == 1 / 120).all()  # above 0.05 / 8, below 0.05
    assert table.reachable.all()
    assert summary(table) == {"d_low": None, "d_high": None, "unreachable": 0, "only_together": 8}


def test_effects_larger_than_that_of_interest_are_counted():
    config = with_defaults(probes={"pert_embedding": {}}, power={"d": 0.1})
    found = known()
    said = remedies(config, found, with_power(askable(config, found), config), [])
    assert any("power.d = 0.1 is found in less than 80%" in each for each in said)


# The page


QUESTIONS = (
    Asked("knockout", "a", 3, 4, None, None, 0, 0, (("no panel for this program", 1),)),
    Asked("knockout", "b", 3, 4, None, None, 0, 0, (("no panel for this program", 1),)),
    Asked("pert_embedding", "a", 2, 4, 1.04, 2.5, 1, 2, (("x", 1), ("y", 1), ("z", 1))),
)
REACHED = Reach("a", ("G1", "G2", "G3"), 3, 1, ""), Reach("b", (), 3, 0, "no genes")
PROSPECT = Prospect(QUESTIONS, REACHED, Cost(4, 2, 2, 1, 1.0), ("add [panels]",), (), (), 1.0, 0.8, 3, 2)


def shown(found, **how):
    console = Console(file=io.StringIO(), width=140, **how)
    page(found, console)
    return console.file.getvalue()


def test_a_terminal_shows_models_together_of_which_the_same_is_said():
    text = shown(PROSPECT, force_terminal=True, color_system=None)
    assert "What can be asked" in text
    assert text.count("3 of 4") == 1
    assert text.count("all 2 models") == 1
    assert "1 to 2.5" in text
    assert "2 only together" in " ".join(text.split())
    assert "1: x; 1: y; 1: other reasons" in text
    assert max(map(len, text.splitlines()[:8])) <= 120


def test_a_pipe_gets_a_line_for_each_model_and_no_frame():
    text = shown(PROSPECT)
    assert "knockout\ta\t3 of 4\t-\t1: no panel for this program" in text
    assert "knockout\tb\t" in text
    assert "│" not in text
    assert "\t1 to 2.5, 2 only together, 1 never\t" in text
    assert "add [panels]" in text


def test_words_of_programs_are_never_taken_for_markup():
    bold = PROSPECT._replace(remedies=("[bold]",))
    assert "[bold]" in shown(bold, force_terminal=True, color_system=None)
    odd = QUESTIONS[0]._replace(why_not=(("[red]no", 1),))
    assert "[red]no" in shown(PROSPECT._replace(questions=(odd,)), force_terminal=True, color_system=None)


def test_models_that_the_run_trains_are_no_part_of_the_count():
    assert PROSPECT.conclusion == "2 of 3 probes can be asked; an answer can be reached for 1 of 2 models."
    made = PROSPECT._replace(made=("its models (c)",), models=3)
    assert made.conclusion.endswith(
        "1 of 2 models. The run makes its models (c) itself: what these allow is known after that."
    )
