"""The atlas is a target of its own, in as many shards as the run."""

import numpy as np
from workflow_project import Project, tiny

from pertprobe import open_atlas

ATLAS = {"models": ["a_fewshot"]}


def test_the_atlas_has_its_jobs_and_is_no_part_of_all(tmp_path):
    project = Project.fresh(tmp_path)
    plan = project.plan(tiny() | {"atlas": ATLAS, "shards": 3}, "atlas")
    wanted = {"measure_atlas": 3, "join_atlas": 1, "atlas": 1, "seen": 1, "train": 1, "cells": 1}
    assert {rule: plan.jobs[rule] for rule in wanted} == wanted
    assert not any("atlas" in rule for rule in project.plan(tiny()).jobs)
    assert project.plan(tiny(), "atlas").jobs["join_atlas"] == 3


def test_an_unknown_model_of_the_atlas_stops_the_run_before_any_job(tmp_path):
    status, said = Project.fresh(tmp_path).run("--dry-run", config=tiny() | {"atlas": {"models": ["a_fewshoot"]}})
    assert status != 0
    assert "atlas.models: 'a_fewshoot' is not under models" in said
    assert "Did you mean 'a_fewshot'?" in said


def test_the_atlas_of_a_finished_run_holds_every_perturbation(finished):
    """On a run that is finished: nothing but the atlas is made, and its shards are removed."""
    config = tiny() | {"atlas": ATLAS}
    plan = finished.plan(config, "atlas")
    assert plan.jobs == {"measure_atlas": 1, "join_atlas": 1, "atlas": 1}
    finished.finish("--cores", "1", "--quiet", "all", "--", "atlas", config=config)
    atlas = open_atlas(finished.results / "atlas/a_fewshot.zarr")
    assert len(atlas.perturbations) == 19
    found = atlas.entries()
    assert found.shape == (19, len(atlas.targets), len(atlas.regulators))
    assert np.isfinite(found.values).all()
    assert (atlas.norms() > 0).all()
    assert not list((finished.results / "atlas").rglob("*-of-*.zarr"))
    assert finished.plan(config, "atlas").jobs == {}
    again = finished.plan(tiny() | {"atlas": ATLAS | {"derivative": "diagonal"}}, "atlas")
    assert again.jobs == {"measure_atlas": 1, "join_atlas": 1, "atlas": 1}
