"""From model directories and an h5ad to an answer, without an edit by hand, on real cells."""

import contextlib

import pandas as pd
import pytest
import yaml
from run_figures import run_faults
from typer.testing import CliRunner

from pertprobe.workflow.commands import app

MODELS = ("fewshot_rep_1", "fewshot_rep_2", "zeroshot_rep_1")
INTERFERON = "HALLMARK_INTERFERON_GAMMA_RESPONSE"
ANSWERS = {"mechanism", "co-variation", "lookup", "not predicted", "unresolved"}
QUICK = {
    "statistics": {"permutations": 99, "bootstrap": 99},
    "controls": {"redrawn": 1, "cascade": False, "planted": False, "additive": False},
}
"""Fewer draws and copies; which rules run and what they are given is as init wrote it."""


@pytest.fixture(scope="module")
def answered(shared_path, tmp_path_factory):
    """Write a config by `init`, check it, run it to its report, and return the config and the folder of results."""
    folder = tmp_path_factory.mktemp("newcomer")
    given = [
        *(part for name in MODELS for part in ("--model", str(shared_path("state", f"papalexi_{name}")))),
        *("--cells", str(shared_path("data", "papalexi_thp1_eccite_mit.h5ad"))),
        *("--programs", str(shared_path("genesets", "hallmark_msigdb_v2025.1.gmt"))),
    ]
    (folder / "quick.yaml").write_text(yaml.safe_dump(QUICK))
    commands = [["init", *given, "--output", "papalexi.yaml", "--run", "papalexi"], ["check", "-c", "papalexi.yaml"]]
    commands.append(["run", "-c", "papalexi.yaml", "-c", "quick.yaml", "--cores", "2"])
    with contextlib.chdir(folder):
        for command in commands:
            said = CliRunner().invoke(app, command)
            assert said.exit_code == 0, said.output
    return yaml.safe_load((folder / "papalexi.yaml").read_text()), folder / "results/papalexi", said.output


def read_answers(results):
    return pd.read_csv(results / "answers.tsv", sep="\t", keep_default_na=False)


def test_every_model_has_an_answer_for_the_interferon_program_with_its_numbers(answered):
    config, results, _ = answered
    answers = read_answers(results)
    mine = answers[(answers.role == "subject") & (answers.program == INTERFERON)].set_index("model")
    assert set(mine.index) == set(config["models"]) == set(MODELS)
    assert set(mine.answer) <= ANSWERS
    assert (mine.answer.ne("unresolved") | mine.reason.ne("")).all()


def test_the_run_ends_with_what_was_found_and_where_the_report_is(answered):
    _, results, said = answered
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "report.html" in said
    assert INTERFERON in report
    assert all(name in report for name in MODELS)


def test_every_figure_of_real_cells_can_be_printed(answered):
    _, results, _ = answered
    assert run_faults(results / "figures") == []


def test_models_of_known_kind_stand_beside_them_and_a_lookup_is_called_one(answered):
    _, results, _ = answered
    answers = read_answers(results)
    whole = answers[(answers.program == "") & (answers.role == "lookup")]
    assert len(whole) == len(MODELS)
    assert set(whole.answer) == {"lookup"}
