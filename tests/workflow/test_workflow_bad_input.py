"""A user's mistakes are named together, in words, before any long job; nothing half made is left."""

import json
import shutil

import pytest
from workflow_project import Project, tiny


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """Return a project without results."""
    return Project.fresh(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def files(demo, tmp_path):
    """Return a project and a config whose cells and models are files, made by the demo."""
    project = Project.fresh(tmp_path)
    for name in ("cells.h5ad", "programs.gmt", "regulons.tsv"):
        shutil.copy2(demo.results / "simulated" / name, tmp_path / name)
    shutil.copytree(demo.results / "trained", tmp_path / "models")
    config = tiny()
    del config["simulate"]
    config["programs"]["gmt"], config["controls"]["network"] = ["programs.gmt"], "regulons.tsv"
    for entry in config["cells"].values():
        entry["path"] = "cells.h5ad"
    for name, entry in config["models"].items():
        del entry["train"]
        entry["path"] = f"models/{name}"
    return project, config


def refused(project, config, *arguments):
    """Return what Snakemake says when it refuses to run."""
    status, said = project.run(*arguments, config=config)
    assert status != 0
    assert "Traceback" not in said
    return said


def test_all_faults_of_a_config_are_reported_together(empty):
    config = tiny()
    config["shardz"] = 2
    config["models"]["a_fewshot"]["context"] = "line_c"
    config["models"]["b_fewshot"]["path"] = "somewhere"
    config["pairs"]["regimes"] = [["a_fewshot", "nobody"]]
    config["probes"]["sae_features"]["sae"] = "separate"
    config["statistics"]["permutations"] = 5
    said = refused(empty, config, "--dry-run")
    for part in ("'shardz'", "'shards'", "'line_c'", "'nobody'", "'separate'", "permutations", "models.b_fewshot"):
        assert part in said
    assert "6 faults" in said


def test_a_run_name_that_is_no_folder_name_is_refused(empty):
    assert "run: " in refused(empty, tiny() | {"run": "../tiny"}, "--dry-run")
    assert not (empty.folder / "results").exists()


@pytest.mark.parametrize(
    "broken",
    [{"models": ["a_fewshot"]}, {"cells": None}, {"pairs": {"contexts": ["a_fewshot"]}}, {"sae": {"joint": {}}}],
    ids=lambda broken: next(iter(broken)),
)
def test_a_config_of_the_wrong_shape_is_refused_in_words(empty, broken):
    assert f"{next(iter(broken))}" in refused(empty, tiny() | broken, "--dry-run")


def test_a_variable_that_is_not_set_is_named(empty):
    config = tiny()
    config["programs"]["gmt"] = ["${PERTPROBE_NOT_SET_ANYWHERE}/programs.gmt"]
    assert "PERTPROBE_NOT_SET_ANYWHERE" in refused(empty, config, "--dry-run")


def test_faults_of_cells_and_checkpoints_are_reported_together_and_no_other_job_runs(files):
    project, config = files
    config["cells"]["line_b"]["context"] = "line_c"
    (project.folder / "models/a_fewshot/checkpoints/final.ckpt").unlink()
    corrupt = project.folder / "models/a_zeroshot/checkpoints/final.ckpt"
    corrupt.write_bytes(corrupt.read_bytes()[:1000])
    said = refused(project, config, "--cores", "2")
    log = (project.results / "logs/check_inputs/check_inputs.log").read_text()
    for fault in ("cells.line_b: ", "'line_c'", "line_a, line_b", "models.a_fewshot: ", "models.a_zeroshot: "):
        assert fault in log.replace("'line_a', 'line_b'", "line_a, line_b")
    assert "3 faults" in log
    assert "3 faults" in said
    assert "Traceback" not in log
    assert [path.name for path in (project.results / "logs").iterdir()] == ["check_inputs"]
    assert [path for path in project.results.rglob("*.json") if path.is_file()] == []


def test_given_files_without_a_fault_pass_the_check(files):
    project, config = files
    project.finish("--cores", "1", "--", "recheck_inputs", config=config)
    found = json.loads((project.results / "checks.json").read_text())
    assert found["models"].keys() == config["models"].keys()
    assert found["cells"]["line_a"]["perturbations"] == tiny()["simulate"]["perturbations"]


def test_a_missing_file_is_named_together_with_other_faults_before_the_run_starts(files):
    project, config = files
    config["models"]["a_zeroshot"]["path"] = "models/nowhere"
    config["cells"]["line_b"]["context"] = "line_c"
    said = refused(project, config, "--cores", "1")
    assert "models.a_zeroshot" in said
    assert "models/nowhere" in said
    assert "cells.line_b" in said
    assert not (project.folder / "results").exists()


def test_a_file_that_changes_for_the_worse_is_refused_by_the_second_check(files):
    project, config = files
    project.finish("--cores", "1", "--", "recheck_inputs", config=config)
    config["panels"]["program_1"]["program"] = "program_9"
    said = refused(project, config, "--cores", "1", "--", "recheck_inputs")
    assert "program_9" in said
    assert not (project.results / "checks.json").exists()
