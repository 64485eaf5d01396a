"""The tiny demo, run once; tests that change anything work on copies of it."""

import os
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
from workflow_project import FURTHER, NEW, RESHARDED, SHARDS, Project, killed_at_last, tiny

from pertprobe.workflow.warm import DOOR, warm_python


@pytest.fixture(scope="session", autouse=True)
def warm():
    """Let all runs share one Python that has loaded what jobs load; each would keep one of its own."""
    with warm_python() as environment, patch.dict(os.environ, environment):
        yield


COLD = {DOOR: ""}
"""Every job loads what it needs, as on other machines."""
IN_SHARDS = tiny() | {"shards": SHARDS}
AGAIN = ("--cores", "1", "--rerun-triggers", "mtime", "--quiet", "all", "--")
"""By default all measurements would be made again, since the number of shards is among their inputs."""


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """Run the tiny demo in one shard on two cores; then start measuring again, cold, in three shards on one core.

    The second run works on a copy while other tests use the second core; `resharded` waits for it.
    """
    demo = Project.fresh(tmp_path_factory.mktemp("demo"))
    demo.finish("--cores", "2", "--", "all", "pert_embedding", config=tiny())
    again = demo.copy(tmp_path_factory.mktemp("again") / "project")
    measured = [f"results/tiny/measurements/{probe}/{model}.nc" for probe, model in RESHARDED.items()]
    for name in measured:
        (again.folder / name).unlink()
    process = again.start(*AGAIN, *measured, config=IN_SHARDS, environment=COLD)
    with killed_at_last(process):
        yield demo, again, process


@pytest.fixture(scope="session")
def demo(started):
    """Return the finished tiny demo, which no test may change."""
    return started[0]


@pytest.fixture(scope="session")
def resharded(started):
    """Return the demo measured again in three shards on one core."""
    _, again, process = started
    said, _ = process.communicate()
    assert process.returncode == 0, said
    again.finish(*AGAIN, "results/tiny/readings.tsv", config=IN_SHARDS)
    return again


@pytest.fixture
def finished(demo, tmp_path):
    """Return a copy of the finished demo that a test may change."""
    return demo.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def every(demo, tmp_path_factory):
    """Return a copy of the demo in which every probe has run, and one that nobody has seen: two files were put in.

    Models of known kind are asked for their knock-outs too.
    """
    project = demo.copy(tmp_path_factory.mktemp("every") / "project")
    for path in (Path(__file__).parent / "new_probe").glob(f"{NEW}.*"):
        shutil.copy(path, project.folder / "src/pertprobe/probes")
    config = tiny()
    probes = config["probes"] | FURTHER | {NEW: {}}
    controls = config["controls"] | {"known": ["knockout"]}
    project.finish("--cores", "2", "--", "all", NEW, config=config | {"probes": probes, "controls": controls})
    return project
