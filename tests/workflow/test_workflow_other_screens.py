"""Screens as others write them run to their report: activations with pairs, drugs at doses, cytokines in donors."""

import contextlib
import json

import anndata as ad
import pandas as pd
import pytest
import xarray as xr
import yaml
from other_screens import DRUGS, GENES, SCREENS
from typer.testing import CliRunner

from pertprobe.data.cell_sets import CellSets
from pertprobe.workflow.commands import app


@pytest.fixture(scope="module", params=SCREENS)
def screen(request, tmp_path_factory):
    """Run a screen, and return its name and the folder of its results."""
    folder = tmp_path_factory.mktemp(request.param)
    config = SCREENS[request.param](folder)
    (folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with contextlib.chdir(folder):
        said = CliRunner().invoke(app, ["run", "-c", "run.yaml", "--cores", "2"])
    assert said.exit_code == 0, said.output
    return request.param, folder / "results" / request.param


def asked(results, probe="pert_embedding"):
    """Return program -> its row of one probe."""
    rows = pd.read_csv(results / "evidence" / f"{probe}.tsv", sep="\t", keep_default_na=False)
    mine = (rows.role == "subject") & (rows.statistic == "coherence") & (rows.adjustment == "centred")
    return rows[mine].set_index("program")


def seen_as(results):
    return pd.read_csv(results / "models/m/perturbations.tsv", sep="\t", keep_default_na=False).perturbation.tolist()


def norman(results):
    found = asked(results)
    assert seen_as(results) == sorted(GENES[:20])
    assert (int(found.n["first"]), int(found.n_background["first"])) == (6, 20)
    assert found.reason["pairs"].startswith("0 trained perturbations")
    observed = xr.load_dataset(results / "models/m/observed.nc")
    own = [float(observed["delta_y"].sel(perturbation=gene, gene=gene)) for gene in GENES[:20]]
    assert max(own) < 0  # each gene was raised: its response is turned round
    assert bool(observed["left"].isnull().all())
    answers = pd.read_csv(results / "answers.tsv", sep="\t", keep_default_na=False)
    assert {"m"} == {*answers[answers.role == "subject"].model}


def tahoe(results):
    found = asked(results)
    assert seen_as(results) == [*DRUGS]
    # Both doses of three drugs and another by its name; drugs that act on GENE1 or GENE2; a third of all in a group.
    assert found.n[["named", "hit", "group 0"]].astype(int).tolist() == [4, 4, 4]
    assert {*found.n_background.astype(int)} == {len(DRUGS)}
    card = json.loads((results / "models/m/card.json").read_text())
    assert any(note.startswith("labels not counted, being another dose") for note in card["warnings"])


def parse(results):
    assert asked(results).n.astype(int).to_dict() == {"some": 6, "others": 6}
    drawn = {*CellSets.load(results / "inputs/cells/k562.h5ad").cell_ids.ravel()}
    obs = ad.read_h5ad(results.parents[1] / "cells.h5ad").obs
    assert {*obs["donor"][obs.index.isin(drawn)]} == {"D1"}
    assert {*obs["perturbation"][obs.index.isin(drawn)]} == {"PBS", "PBS_well_2"}


HELD = {"norman": norman, "tahoe": tahoe, "parse": parse}


def test_agents_are_asked_and_not_their_labels(screen):
    name, results = screen
    HELD[name](results)


def test_the_report_says_what_labels_count_as(screen):
    name, results = screen
    text = (results / "report.html").read_text()
    assert ("labels are asked as their agents" in text) == (name != "parse")
