"""From model directories and an h5ad to an answer, without an edit by hand, on real cells."""

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner
from workflow_project import Project

from pertprobe.workflow.commands import app

INTERFERON = "HALLMARK_INTERFERON_GAMMA_RESPONSE"
ANSWERS = {"mechanism", "co-variation", "lookup", "not predicted", "unresolved"}
QUICK = {
    "statistics": {"permutations": 99, "bootstrap": 99},
    "controls": {"redrawn": 1, "cascade": False, "planted": False, "additive": False},
}
"""Fewer draws and copies; which rules run and what they are given is as init wrote it."""


@pytest.fixture(scope="module")
def answered(shared_path, tmp_path_factory):
    """Write a config by `init`, run it as far as answers, and return config and answers."""
    project = Project.fresh(tmp_path_factory.mktemp("newcomer"))
    models = [shared_path("state", f"papalexi_{name}") for name in ("fewshot_rep_1", "zeroshot_rep_1")]
    given = [
        *(part for model in models for part in ("--model", str(model))),
        *("--cells", str(shared_path("data", "papalexi_thp1_eccite_mit.h5ad"))),
        *("--programs", str(shared_path("genesets", "hallmark_msigdb_v2025.1.gmt"))),
        *("--output", str(project.folder / "papalexi.yaml"), "--run", "papalexi"),
    ]
    written = CliRunner().invoke(app, ["init", *given])
    assert written.exit_code == 0, written.output
    config = yaml.safe_load((project.folder / "papalexi.yaml").read_text())
    project.finish("--cores", "2", "--", "results/papalexi/answers.tsv", config=config | QUICK)
    return config, pd.read_csv(project.folder / "results/papalexi/answers.tsv", sep="\t", keep_default_na=False)


def test_every_model_has_an_answer_for_the_interferon_program_with_its_numbers(answered):
    config, answers = answered
    mine = answers[(answers.role == "subject") & (answers.program == INTERFERON)].set_index("model")
    assert set(mine.index) == set(config["models"]) == {"fewshot_rep_1", "zeroshot_rep_1"}
    assert set(mine.answer) <= ANSWERS
    assert (mine.answer.ne("unresolved") | mine.reason.ne("")).all()


def test_models_of_known_kind_stand_beside_them_and_a_lookup_is_called_one(answered):
    _, answers = answered
    whole = answers[(answers.program == "") & (answers.role == "lookup")]
    assert len(whole) == 2
    assert set(whole.answer) == {"lookup"}
