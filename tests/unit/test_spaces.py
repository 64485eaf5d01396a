"""Spaces as scanpy finds them: what lies beside the rows, the map, and rows that have no place on it."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from pertprobe.data.programs import Programs
from pertprobe.files import sha256
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.stages.layout import APART, FEWEST_ROWS, lay_out
from pertprobe.stages.spaces import Known, space_of, write_space

NAMES = [f"p{i:02}" for i in range(24)]
GENES = [*NAMES[:10], *(f"g{i}" for i in range(20))]
PROGRAMS = Programs({"one": NAMES[:8], "two": NAMES[6:14], "elsewhere": ["zzz"]})
DELTA_Y = {"name": "delta_y", "variable": "delta_y", "feature": "gene", "unit": "perturbation", "meaning": "change"}
KNOCKOUT = {"name": "knockout", "variable": "shift", "feature": "gene", "unit": "gene", "meaning": "change"}
SAE = {"name": "sae", "variable": "activation", "feature": "feature", "unit": "perturbation", "meaning": "activation"}


def groups_of(n, rng, width=30):
    """Return profiles of two groups, apart in every feature, and which group each is of."""
    group = np.arange(n) % 2
    return rng.normal(size=(n, width)) + 4 * rng.normal(size=(2, width))[group], group


def measured(values, names=NAMES, variable="delta_y", features=GENES, dim="gene"):
    names = list(names)[: len(values)]
    both_sets = np.stack([values - 0.5, values + 0.5])[None].astype(np.float32)
    coords = {"variant": ["subject"], "set": [0, 1], "perturbation": names, dim: list(features)}
    return xr.Dataset({variable: (("variant", "set", "perturbation", dim), both_sets)}, coords)


def known(**more):
    given = {
        "who": {"model": "a", "regime": "fewshot", "context": "line"},
        "programs": PROGRAMS,
        "strength": pd.Series(np.arange(24.0), index=NAMES),
        "seen": pd.Series("here", index=NAMES[:20]),
        "n_cells": pd.Series(30.0, index=NAMES[:5]),
        "answers": pd.Series({"one": "mechanism", "two": "lookup"}),
        "genes": pd.DataFrame({"fidelity": [0.5, 0.25]}, index=["p00", "p03"]),
        "features": pd.DataFrame(),
    }
    return Known(**given | more)


@pytest.fixture
def profiles():
    return groups_of(24, np.random.default_rng(0))[0]


@pytest.fixture
def space(profiles):
    return space_of(measured(profiles), DELTA_Y, known())


def test_rows_and_features_are_the_means_of_the_measurement_by_name(space, profiles):
    np.testing.assert_allclose(space.X, profiles, atol=1e-5)
    assert space.obs_names.tolist() == NAMES
    assert space.var_names.tolist() == GENES
    assert (space.uns["row"], space.uns["X"], space.uns["variant"]) == ("perturbation", "change", "subject")


def test_programs_are_one_word_a_list_and_a_column_each(space):
    assert space.obs.program[["p00", "p06", "p10", "p20"]].tolist() == ["one", "several", "two", "none"]
    assert space.obs.programs[["p06", "p20"]].tolist() == ["one, two", ""]
    assert list(space.obsm["programs"]) == ["one", "two"]  # of the third no member is here
    assert space.obsm["programs"]["two"].to_numpy().nonzero()[0].tolist() == list(range(6, 14))
    assert space.var.program[["p00", "g3"]].tolist() == ["one", "none"]


def test_what_the_run_knows_of_a_perturbation_lies_beside_it(space):
    obs = space.obs
    assert (obs.model == "a").all() and (obs.regime == "fewshot").all() and (obs.context == "line").all()  # noqa: PT018
    assert obs.strength.tolist() == list(range(24))
    assert obs.seen[["p00", "p23"]].tolist() == ["here", "unknown"]
    assert obs.n_cells["p04"] == 30
    assert np.isnan(obs.n_cells["p05"])
    assert obs.answer[["p00", "p06", "p10", "p20"]].tolist() == ["mechanism", "several", "lookup", "none"]
    assert obs.fidelity[["p00", "p03"]].tolist() == [0.5, 0.25]
    assert np.isnan(obs.fidelity["p01"])
    assert space.var.perturbed.sum() == 10
    assert set(space.uns["obs"]) == set(obs)  # every column is explained, and none that is not there


def test_a_silenced_gene_has_the_strength_of_what_silencing_it_does(profiles):
    names = [*NAMES[:20], *(f"q{i}" for i in range(4))]
    found = space_of(measured(profiles, names, "shift"), KNOCKOUT, known())
    np.testing.assert_allclose(found.obs.strength, np.linalg.norm(profiles, axis=1), rtol=1e-5)
    assert found.obs.seen.iloc[[0, -1]].tolist() == ["here", "no perturbation"]
    assert found.uns["row"] == "silenced gene"


def test_a_feature_says_how_stable_it_is_where_that_is_known(profiles):
    stable = pd.DataFrame({"stable": ["True", "False"]}, index=["f0", "f1"])
    features = [f"f{i}" for i in range(30)]
    asked = measured(profiles, variable="activation", features=features, dim="feature")
    assert space_of(asked, SAE, known(features=stable)).var.stable.iloc[:2].tolist() == ["True", "False"]
    assert list(space_of(asked, SAE, known()).var) == []


def test_a_run_without_answers_has_no_such_columns(profiles):
    without = known(answers=pd.Series(dtype=object), genes=pd.DataFrame())
    found = space_of(measured(profiles), DELTA_Y, without)
    assert not {"answer", "fidelity"} & {*found.obs, *found.uns["obs"]}


def test_a_space_that_was_not_measured_has_no_rows_and_says_why(tmp_path):
    refused = xr.Dataset(attrs={NOT_EVALUABLE: "model has no stages"})
    write_space(space_of(refused, DELTA_Y, known()), tmp_path / "s.h5ad")
    again = ad.read_h5ad(tmp_path / "s.h5ad")
    assert again.shape == (0, 0)
    assert again.uns[NOT_EVALUABLE] == "model has no stages"


def test_two_groups_lie_apart_in_clusters_and_on_the_map():
    profiles, group = groups_of(60, np.random.default_rng(1))
    space = ad.AnnData(profiles.astype(np.float32))
    lay_out(space, 0)
    assert adjusted_rand_score(group, space.obs.leiden) > 0.9
    places = space.obsm["X_umap"]
    within = max(np.linalg.norm(places[group == g] - places[group == g].mean(0), axis=1).mean() for g in (0, 1))
    assert np.linalg.norm(places[group == 0].mean(0) - places[group == 1].mean(0)) > 2 * within
    assert space.uns["layout_note"] == ""


def test_neighbours_are_those_of_largest_cosine_between_centred_profiles():
    space = ad.AnnData(np.random.default_rng(2).normal(1, 1, size=(40, 12)).astype(np.float32))
    lay_out(space, 0)
    centred = space.X - space.X.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    nearest = np.argsort(-(centred @ centred.T), axis=1)[:, 1:15]
    found = [set(row.indices) - {i} for i, row in enumerate(space.obsp["distances"])]
    assert found == [set(row) for row in nearest]


def test_scanpy_draws_what_was_written_as_it_is_and_reruns_are_the_same_bytes(tmp_path, profiles):
    for name in ("first", "again"):
        write_space(space_of(measured(profiles), DELTA_Y, known()), tmp_path / f"{name}.h5ad")
    assert sha256(tmp_path / "first.h5ad") == sha256(tmp_path / "again.h5ad")
    space = sc.read_h5ad(tmp_path / "first.h5ad")
    axes = sc.pl.umap(space, color=["program", "strength", "answer", "fidelity", "leiden"], show=False)
    assert [each.get_title() or each.get_title("left") for each in axes] == [
        "program",
        "strength",
        "answer",
        "fidelity",
        "leiden",
    ]
    sc.tl.leiden(space, resolution=0.1, flavor="igraph", n_iterations=2, directed=False)  # the graph is there


@pytest.mark.parametrize("n", [2, 3, FEWEST_ROWS - 1])
def test_too_few_rows_have_no_map_and_it_says_why(profiles, n):
    space = space_of(measured(profiles[:n]), DELTA_Y, known())
    assert "X_umap" not in space.obsm
    assert (space.obs.leiden == APART).all()
    assert space.uns["layout_note"].startswith(f"no clusters and no map: {n} row")


@pytest.mark.parametrize("n", [FEWEST_ROWS, 6, 9, 15, 16])
def test_few_rows_have_a_map(profiles, n):
    space = space_of(measured(profiles[:n]), DELTA_Y, known())
    assert np.isfinite(space.obsm["X_umap"]).all()
    assert APART not in set(space.obs.leiden)


@pytest.mark.parametrize("values", [np.zeros((24, 30)), np.ones((24, 30)), np.full((24, 30), np.nan)])
def test_profiles_that_do_not_differ_have_no_map(values):
    space = space_of(measured(values), DELTA_Y, known())
    assert "X_umap" not in space.obsm
    assert "0 rows, 5 needed" in space.uns["layout_note"]
    assert "of 24 rows the profile" in space.uns["layout_note"]


def test_rows_without_a_direction_have_no_place_and_the_others_do(tmp_path, profiles):
    profiles[3, 2] = np.nan
    write_space(space_of(measured(profiles), DELTA_Y, known()), tmp_path / "s.h5ad")
    space = ad.read_h5ad(tmp_path / "s.h5ad")
    placed = np.isfinite(space.obsm["X_umap"]).all(axis=1)
    assert np.flatnonzero(~placed).tolist() == [3]
    assert space.obs.leiden.iloc[3] == APART
    assert space.obsp["connectivities"].shape == (24, 24)
    assert space.obsp["connectivities"][3].nnz == 0
    assert space.uns["layout_note"] == "of 1 row the profile has a number that is not finite"
    others = space_of(measured(np.delete(profiles, 3, axis=0), [*NAMES[:3], *NAMES[4:]]), DELTA_Y, known())
    np.testing.assert_array_equal(space.obsm["X_umap"][placed], others.obsm["X_umap"])


def test_two_features_have_no_map():
    space = ad.AnnData(np.random.default_rng(3).normal(size=(20, 2)).astype(np.float32))
    lay_out(space, 0)
    assert space.uns["layout_note"] == "no clusters and no map: 2 features, 3 needed"


def test_a_layout_leaves_the_threads_of_the_process_as_they_were():
    before = torch.get_num_threads()
    lay_out(ad.AnnData(groups_of(30, np.random.default_rng(0))[0].astype(np.float32)), 0)
    assert torch.get_num_threads() == before
