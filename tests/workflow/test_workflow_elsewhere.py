"""The workflow planned from where it is not the current folder: installed, as the catalogue has it, as a module."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from workflow_project import ROOT

CATALOGUE = ROOT / "workflow/Snakefile"
MODULE = """
configfile: {config!r}

module other:
    snakefile: {snakefile!r}
    config: config

use rule * from other as other_*
"""


def planned(folder, *arguments, path=ROOT / "src"):
    """Return rule -> number of jobs of a dry run in a folder, and all that was said."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(path)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    table = said.partition("Job stats:")[2].partition("\n\n")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}, said


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder of installed packages with this one in it, from its wheel."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # without an environment of its own: no network
    with ZipFile(next(folder.glob("*.whl"))) as archive:  # all that pip does with it
        archive.extractall(folder)
    return folder


def test_the_installed_workflow_plans_the_demo_in_an_empty_folder(site, tmp_path):
    snakefile = site / "pertprobe/_workflow/Snakefile"
    jobs, said = planned(tmp_path, "--snakefile", snakefile, path=site)
    assert jobs["train"] == 3
    assert "results/demo/report.html" in said
    assert str(snakefile.parent / "profiles/default") in said


def test_the_command_finds_the_installed_workflow(site, tmp_path):
    asked = "from pertprobe.workflow.commands.place import workflow_folder; print(workflow_folder())"
    environment = os.environ | {"PYTHONPATH": str(site)}
    said = subprocess.check_output([sys.executable, "-c", asked], cwd=tmp_path, env=environment, text=True)
    assert Path(said.strip()).resolve() == (site / "pertprobe/_workflow").resolve()


def test_the_workflow_of_the_catalogue_makes_all_and_finds_the_config_in_dot_test(tmp_path):
    shutil.copytree(ROOT / ".test/config", tmp_path / "config")
    jobs, said = planned(ROOT, "--snakefile", CATALOGUE, "--directory", tmp_path)
    assert jobs["whole_run"] == 1
    assert jobs["train"] == 3
    assert "results/tiny/report.html" in said
    assert "results/demo" not in said


def test_another_workflow_takes_this_one_as_a_module(tmp_path):
    config = ROOT / ".test/config/config.yaml"
    (tmp_path / "Snakefile").write_text(MODULE.format(config=str(config), snakefile=str(CATALOGUE)))
    jobs, said = planned(tmp_path)
    assert jobs["other_whole_run"] == 1
    assert jobs["other_train"] == len(yaml.safe_load(config.read_text())["models"])
    assert "results/tiny/report.html" in said
