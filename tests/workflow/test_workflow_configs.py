"""Other configs than the demo's: planned without anything of the demo in them."""

import re
from collections import Counter

import pytest
from workflow_project import ROOT, Project, tiny

VARIABLE = re.compile(r"\$\{(\w+)(?::-[^}]*)?\}")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project.fresh(tmp_path_factory.mktemp("configs"))


def planned(project, *names, **environment):
    """Return the jobs of a dry run of configs below config/, and all that was said."""
    files = [f"config/{name}.yaml" for name in names]
    said = project.finish("--dry-run", "--configfile", *files, environment=environment)
    table = said.partition("Job stats:")[2].partition("\n\n")[0]
    return Counter({rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}), said


def stand_in(path):
    """Make an empty file, or a folder where the name has no suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.write_text("stands in for a file")
    else:
        path.mkdir(exist_ok=True)


def test_without_a_config_the_demo_runs(project):
    said = project.finish("--dry-run")
    assert "results/demo/trained/a_fewshot" in said


def test_another_config_has_nothing_of_the_demo(project):
    config = tiny()
    config["run"] = "other"
    config["models"] = {"other_model": config["models"]["a_fewshot"]}
    config["pairs"] = {}
    config["sae"]["joint"]["models"] = ["other_model"]
    said = project.finish("--dry-run", config=config)
    assert "results/other/trained/other_model" in said
    assert not re.search("results/demo|a_fewshot|b_fewshot|a_zeroshot", said)


def test_the_papalexi_run_is_planned_without_the_demo(project, shared_path):
    shared = shared_path("state", "papalexi_fewshot_rep_1").parents[1]
    jobs, said = planned(project, "papalexi", PERTPROBE_SHARED=str(shared))
    assert jobs["check_inputs"] == 1
    assert not jobs.keys() & {"simulate", "train"}
    assert not re.search("results/demo|a_fewshot|b_fewshot|a_zeroshot|line_[ab]", said)


@pytest.mark.parametrize("names", [["replogle"], ["replogle", "published"]], ids=" ".join)
def test_the_replogle_run_passes_a_dry_run_with_stand_in_files(project, tmp_path, names):
    text = (ROOT / "config/replogle.yaml").read_text()
    environment = {name: str(tmp_path / name.lower()) for name in VARIABLE.findall(text)}
    environment["PERTPROBE_REPLOGLE_CELLS"] += ".h5ad"
    for path in re.findall(r"\$\{\w+:-[^}]*\}[^\s\"']*", text):
        stand_in(tmp_path / VARIABLE.sub(lambda match: environment[match.group(1)], path))
    jobs, said = planned(project, *names, **environment)
    assert jobs["check_inputs"] == 1
    shards = re.findall(r"^ +output: .*/measurements/targeted_jacobian/shards/\S+\.nc", said, re.MULTILINE)
    assert len(shards) == 8 * 4
    assert not jobs.keys() & {"simulate", "train"}
    assert "results/demo" not in said
