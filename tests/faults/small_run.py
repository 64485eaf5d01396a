"""A run that is as small as one can be through real Snakemake: the healthy project, one probe, up to its evidence."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import healthy

from pertprobe.workflow.warm import DOOR, warm_python

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))
from workflow_project import Project

COLD = {DOOR: ""}
"""Every job loads what it needs in a process of its own, which a signal can reach."""
RESULTS = "results/faults"
TARGET = f"{RESULTS}/evidence/pert_embedding.tsv"


def config() -> dict[str, Any]:
    """Return the config of the run."""
    found = healthy.config()
    kept = {key: found[key] for key in ("run", "seed", "cells", "models", "pairs", "programs", "statistics")}
    return kept | {"probes": {"pert_embedding": {"neighbours": 3}}, "controls": {"redrawn": 1, "cascade": False}}


def make_project(folder: Path) -> Project:
    """Return a copy of the workflow beside the files of the healthy project."""
    folder.mkdir()
    project = Project.fresh(folder)
    healthy.make_healthy(folder)
    return project


def finished(folder: Path, environment: dict[str, str] | None = None) -> Project:
    """Return such a project whose run has ended."""
    project = make_project(folder)
    project.finish("--cores", "2", "--", TARGET, config=config(), environment=environment)
    return project


@contextmanager
def warmed() -> Iterator[None]:
    """Let all runs share one Python that has loaded what jobs load."""
    with warm_python() as environment, patch.dict(os.environ, environment):
        yield


def without_results(project: Project, folder: Path) -> Project:
    """Return a copy in which nothing has run."""
    copy = project.copy(folder)
    for name in ("results", ".snakemake"):
        shutil.rmtree(copy.folder / name, ignore_errors=True)
    return copy


def content(project: Project) -> str:
    """Return a hash of all tables and measurements of a run: names and bytes."""
    digest = hashlib.sha256()
    for part in ("evidence", "measurements", "inputs", "models"):
        for path in sorted((project.folder / RESULTS / part).rglob("*")):
            if path.is_file() and path.suffix in (".tsv", ".nc"):
                digest.update(str(path.relative_to(project.folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def said_in_logs(project: Project) -> str:
    """Return all that the logs of jobs hold."""
    return "\n".join(path.read_text(errors="replace") for path in (project.folder / RESULTS / "logs").rglob("*.log"))
