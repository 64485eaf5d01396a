"""A Slurm of one node, where it is asked for and can be installed; the tiny demo on it, with faults and without."""

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from slurm_run import FAULTS, FAULTY, run
from workflow_project import Project, tiny

SCRIPT = Path(__file__).parent / "slurm_node.sh"
REFUSED = 3


def node(step):
    """Take a step of the script; where it refuses, the tests are skipped with its words."""
    with TemporaryFile("w+") as words:  # a pipe would stay open in the daemons
        status = subprocess.run(["bash", SCRIPT, step], stdout=words, stderr=words).returncode
        words.seek(0)
        said = words.read().strip()
    if status == REFUSED:
        pytest.skip(f"no Slurm here: {said.splitlines()[-1]}")
    assert status == 0, said


@pytest.fixture(scope="session")
def slurm():
    """Start the node, and stop it at the end."""
    if os.environ.get("PERTPROBE_CLUSTER") != "1":
        pytest.skip("Slurm is installed and started only where it is asked for: make cluster-test")
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="make cluster installs it")
    node("install")
    node("start")
    yield
    node("stop")


@pytest.fixture(scope="session")
def project(slurm, tmp_path_factory):
    """Return a project in which two jobs are faulty as long as the environment says so."""
    project = Project.fresh(tmp_path_factory.mktemp("cluster"))
    (project.folder / "src/sitecustomize.py").write_text(FAULTS)
    return project


@pytest.fixture(scope="session")
def broken(project):
    """Return the first run: one job needs more memory than it first asks for, one shard always fails."""
    return run(project, FAULTY), project.times()


@pytest.fixture(scope="session")
def repaired(project, broken):
    """Return the second run, in which nothing is faulty."""
    return run(project)


@pytest.fixture(scope="session")
def local(slurm, tmp_path_factory):
    """Return the same demo in one shard, without a cluster."""
    project = Project.fresh(tmp_path_factory.mktemp("local"))
    project.finish("--cores", "1", "--", "results/tiny/readings.tsv", config=tiny())
    return project
