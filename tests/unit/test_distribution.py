"""Distances of knocked-out and of training cells from control cells: slow versions, closed forms, planted shifts."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ks_2samp
from tiny import BATCHES, GENES, MeanShift, cell_sets, random_state

from pertprobe.data.cell_sets import CellSets
from pertprobe.interpret.knockouts import knocked_out
from pertprobe.models.training_split import Split
from pertprobe.stages.distribution import (
    CONTEXT,
    DRIFT_COLUMNS,
    HALVES,
    KNOCKOUT_COLUMNS,
    LARGE_KS,
    NO_STAGES,
    Cloud,
    drift_table,
    encoded,
    knockout_distances,
    knockout_ks,
    shrunk_covariance,
)

ALL = {"genes": "all"}


class Without(MeanShift):
    """A mean shift that lacks a capability."""

    def __init__(self, lacking):
        super().__init__()
        self.capabilities = MeanShift.capabilities - {lacking}


def many(n_sets=4, set_size=40, seed=0):
    return cell_sets(n_sets=n_sets, set_size=set_size, seed=seed)


def placed(model, cells, genes="all"):
    return knockout_distances(model, cells, [cells], {"genes": genes}).set_index(["gene", "value"])


# Covariance and distance


def slow_ledoit_wolf(points):
    """Return the estimator as Ledoit & Wolf define it, with norms <A, B> = tr(AB') / H, cell by cell."""
    n, h = points.shape
    centred = [point - points.mean(axis=0) for point in points]
    sample = sum(np.outer(x, x) for x in centred) / n
    level = np.trace(sample @ np.eye(h)) / h
    d2 = np.linalg.norm(sample - level * np.eye(h)) ** 2 / h
    b2 = sum(np.linalg.norm(np.outer(x, x) - sample) ** 2 / h for x in centred) / n**2
    return (min(b2, d2) / d2) * level * np.eye(h) + (1 - min(b2, d2) / d2) * sample


@pytest.mark.parametrize(("n", "h"), [(50, 4), (12, 20), (5, 30)])
def test_the_covariance_is_ledoit_and_wolfs(n, h):
    rng = np.random.default_rng(n)
    points = rng.normal(size=(n, h)) @ rng.normal(size=(h, h)) + 3
    found = shrunk_covariance(points)
    np.testing.assert_allclose(found, slow_ledoit_wolf(points), rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > 0


def test_many_cells_are_hardly_shrunk_and_few_alike_dimensions_almost_wholly():
    rng = np.random.default_rng(0)
    spread = np.array([1.0, 2.0, 5.0])
    np.testing.assert_allclose(shrunk_covariance(rng.normal(size=(100_000, 3)) * spread), np.diag(spread**2), atol=0.3)
    few = shrunk_covariance(rng.normal(size=(30, 60)))
    assert np.linalg.norm(few - np.eye(60)) < 0.2 * np.linalg.norm(np.cov(rng.normal(size=(30, 60)).T) - np.eye(60))


@pytest.mark.parametrize("points", [np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [2.0], [4.0]])])
def test_a_covariance_can_be_inverted_from_two_cells_on(points):
    assert np.linalg.eigvalsh(shrunk_covariance(points)).min() > 0


def test_distances_are_mahalanobis_and_points_that_do_not_vary_have_none():
    points = np.random.default_rng(1).normal(size=(40, 3)) @ np.diag([1, 2, 3]) + 5
    cloud, inverse = Cloud.of(points), np.linalg.inv(shrunk_covariance(points))
    x = np.random.default_rng(2).normal(size=(2, 5, 3))
    centre = points.mean(axis=0)
    expected = [[np.sqrt((each - centre) @ inverse @ (each - centre)) for each in row] for row in x]
    np.testing.assert_allclose(cloud.distances(x), expected)
    assert Cloud.of(np.ones((6, 3))) is None


# Knock-outs


@pytest.mark.parametrize("value", ["zero", "mean"])
def test_the_closed_ks_is_scipys(value):
    values = np.random.default_rng(0).gamma(0.5, size=(3, 30, 4)).astype(np.float32)
    values[values < 0.3] = 0
    for gene in range(4):
        before, after = values[..., gene], knocked_out(values, gene, value)[..., gene]
        expected = np.mean([ks_2samp(a, b, method="asymp").statistic for a, b in zip(before, after, strict=True)])
        assert knockout_ks(before, after[:, 0]) == pytest.approx(expected)


def test_a_gene_set_to_the_value_it_has_everywhere_does_not_move():
    values = np.full((2, 33, 1), 0.1, np.float32)  # whose mean is 0.1 up to rounding
    assert knockout_ks(values[..., 0], knocked_out(values, 0, "mean")[:, 0, 0]) == 0
    assert knockout_ks(values[..., 0], np.zeros(2, np.float32)) == 1
    assert knockout_ks(np.zeros((2, 5), np.float32), np.zeros(2, np.float32)) == 0


def test_every_gene_has_a_row_for_either_value():
    found = knockout_distances(MeanShift(), many(), [many()], ALL)
    assert found.columns.tolist() == KNOCKOUT_COLUMNS
    assert found.gene.tolist() == [gene for gene in GENES for _ in range(2)]
    assert found.value.tolist() == ["zero", "mean"] * len(GENES)
    assert found.note.eq("").all()
    assert found.drop(columns="note").notna().all(axis=None)


def test_distances_are_those_computed_cell_by_cell():
    model, cells = random_state(), many(n_sets=3, set_size=6)
    found = placed(model, cells, genes=["g02", "g03", "g07"])
    before = encoded(model, cells.values, cells.batches)
    for (gene, value), row in found.iterrows():
        after = encoded(model, knocked_out(cells.values, GENES.index(gene), value), cells.batches)
        inverse = np.linalg.inv(slow_ledoit_wolf(before.reshape(-1, before.shape[-1])))
        shift = (after - before).mean(axis=(0, 1))
        assert row.mahalanobis == pytest.approx(np.sqrt(shift @ inverse @ shift), rel=1e-6)
        own, moved = [], []
        for i in range(3):
            others = np.concatenate([before[j] for j in range(3) if j != i])
            inverse, centre = np.linalg.inv(slow_ledoit_wolf(others)), others.mean(axis=0)
            own += [np.sqrt((x - centre) @ inverse @ (x - centre)) for x in before[i]]
            moved += [np.sqrt((x - centre) @ inverse @ (x - centre)) for x in after[i]]
        assert row.percentile == pytest.approx(np.mean(np.array(own) > np.median(moved)))


def test_encoded_cells_are_the_models_own_before_batches_are_added():
    model, cells = random_state(), many(n_sets=2, set_size=5)
    found = encoded(model, cells.values, cells.batches)
    assert found.dtype == np.float64
    with torch.no_grad():
        expected = model.encode_cells(model.tensor(cells.values)).residual
    np.testing.assert_allclose(found, expected)


def test_a_silent_gene_moves_nothing():
    cells = cell_sets(n_sets=4, set_size=40, silent=["g03"])
    rows = placed(MeanShift(), cells, genes=["g03", "g04", "g05"]).loc["g03"]
    assert rows[["expressed", "ks", "mahalanobis"]].eq(0).all(axis=None)
    assert rows.percentile.between(0.45, 0.55).all()  # half of the cells are beyond the median cell


def test_a_planted_departure_is_beyond_every_control_cell():
    values = many().values.copy()
    values[..., 4] = 8 + 0.1 * values[..., 4]
    far = CellSets(values, GENES, None, many().cell_ids, "here")
    found = placed(MeanShift(), far)
    assert found.percentile[("g04", "zero")] == 0
    assert found.mahalanobis.idxmax() == ("g04", "zero")
    assert found.ks[("g04", "zero")] == found.expressed[("g04", "zero")] == 1
    assert found.percentile[("g04", "mean")] > 0.4
    assert found.percentile.drop(("g04", "zero")).min() > 0.1


def test_the_genes_are_those_the_probe_knocks_out():
    cells = many()
    means = pd.Series(cells.values.mean(axis=(0, 1)), GENES)
    found = knockout_distances(MeanShift(), cells, [cells], {"genes": 3})
    assert set(found.gene) == set(means.nlargest(3).index)


def test_without_stages_there_is_no_distance_in_the_encoders_space():
    found = knockout_distances(Without("stages"), many(), [many()], ALL)
    assert found[["mahalanobis", "percentile"]].isna().all(axis=None)
    assert found[["expressed", "ks"]].notna().all(axis=None)
    assert found.note.eq(NO_STAGES).all()


def test_one_set_is_measured_by_itself_and_says_so():
    found = knockout_distances(MeanShift(), many(n_sets=1), [many()], ALL)
    assert found.percentile.notna().all()
    assert found.note.str.startswith("one cell set").all()


def test_cells_that_are_all_alike_have_no_distance():
    values = np.ones((2, 5, len(GENES)), np.float32)
    alike = CellSets(values, GENES, None, many(2, 5).cell_ids, "here")
    found = knockout_distances(MeanShift(), alike, [alike], ALL)
    assert found.mahalanobis.isna().all()
    assert found.note.str.contains("do not vary").all()


@pytest.mark.parametrize(
    ("model", "settings", "note"),
    [(MeanShift(), None, "the run knocks nothing out"), (Without("gene_space"), ALL, "model has no gene_space")],
)
def test_where_nothing_is_knocked_out_one_row_says_why(model, settings, note):
    found = knockout_distances(model, many(), [many()], settings)
    assert len(found) == 1
    assert found.note[0].startswith(note)
    assert found.drop(columns="note").isna().all(axis=None)


# Drift

ENTRY = {"context": "here", "context_column": "line", "perturbation_column": "gene", "control": "ctrl"}
ENTRY |= {"batch_column": "batch", "space": "X", "genes": None, "normalisation": "none", "set_size": 5, "n_sets": 2}


def contexts(n=1000, seed=0, shift=1.0):
    """Return control cells of three contexts: `same` is like `here`, half the genes of `apart` are higher."""
    rng = np.random.default_rng(seed)
    lines = np.repeat(["here", "same", "apart"], n)
    x = rng.gamma(2.0, size=(len(lines), len(GENES))).astype(np.float32)
    x[lines == "apart", :6] += shift
    obs = pd.DataFrame({"line": lines, "gene": "ctrl", "batch": rng.choice(BATCHES, len(lines))})
    obs.index = [f"cell{i}" for i in range(len(lines))]
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=list(GENES)))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("drift") / "cells.h5ad"
    contexts().write_h5ad(path)
    return path


def trained_with(*names, model=None):
    model = MeanShift() if model is None else model
    model.card = {**MeanShift.card, "cell_types": names}
    return model


def test_drift_is_found_where_it_is_planted_and_not_elsewhere(path):
    found = drift_table(trained_with("apart", "here", "same"), path, ENTRY, Split(), seed=0)
    assert found.columns.tolist() == DRIFT_COLUMNS
    assert found.compared.tolist() == ["here", "apart", "same"]
    assert found.what.tolist() == [HALVES, CONTEXT, CONTEXT]
    assert found.n_cells.tolist() == found.n_compared.tolist() == [500] * 3
    halves, apart, same = found.itertuples()
    assert apart.ks_above == 0.5
    assert apart.ks_q90 > 2 * halves.ks_q90
    assert same.ks_median == pytest.approx(halves.ks_median, abs=0.05)
    assert halves.ks_above == same.ks_above == 0
    # six genes of standard deviation sqrt(2) are higher by 1
    assert apart.mahalanobis == pytest.approx(np.sqrt(6 / 2), rel=0.2)
    assert max(halves.mahalanobis, same.mahalanobis) < 0.8
    assert halves.note == "trained with apart, here, same, this context among them"


def test_drift_is_that_of_the_cells_drawn(path):
    found = drift_table(trained_with("apart"), path, ENTRY, Split(), seed=1)
    assert found.note[0] == "trained with apart"
    everything = contexts()
    here, apart = (everything[everything.obs.line == name].X for name in ("here", "apart"))
    whole = [ks_2samp(here[:, gene], apart[:, gene]).statistic for gene in range(len(GENES))]
    assert found.ks_median[1] == pytest.approx(np.median(whole), abs=0.1)
    assert found.ks_above[1] == pytest.approx(np.mean(np.array(whole) > LARGE_KS), abs=0.1)


def test_drift_does_not_depend_on_the_order_of_cells(path, tmp_path):
    table = contexts()
    table[np.random.default_rng(0).permutation(table.n_obs)].copy().write_h5ad(tmp_path / "cells.h5ad")
    model = trained_with("apart", "same")
    first, second = (drift_table(model, each, ENTRY, Split(), seed=0) for each in (path, tmp_path / "cells.h5ad"))
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(drift_table(model, path, ENTRY, Split(), seed=1))


def test_at_most_so_many_cells_are_drawn(path, monkeypatch):
    monkeypatch.setattr("pertprobe.stages.distribution.SAMPLE", 7)
    found = drift_table(trained_with("apart"), path, ENTRY, Split(), seed=0)
    assert found.n_cells.tolist() == found.n_compared.tolist() == [7, 7]


def test_a_training_context_without_cells_in_the_file_says_so(path):
    found = drift_table(trained_with("elsewhere", "same"), path, ENTRY, Split(), seed=0)
    assert found.note[1] == "fewer than 2 control cells of elsewhere in the file"
    assert np.isnan(found.ks_median[1])
    assert found.ks_median[[0, 2]].notna().all()


def test_where_training_is_not_known_one_row_says_so(path):
    found = drift_table(MeanShift(), path, ENTRY, None, seed=0)
    assert len(found) == 1
    assert found.note[0].startswith("not known")
    assert found.ks_median.isna().all()


def test_a_context_without_control_cells_is_not_compared(path):
    found = drift_table(trained_with("same"), path, {**ENTRY, "context": "nowhere"}, Split(), seed=0)
    assert found.note.tolist() == ["fewer than 4 control cells of nowhere in the file"]


def test_without_stages_drift_has_no_distance(path):
    model = trained_with("apart", model=Without("stages"))
    found = drift_table(model, path, ENTRY, None, seed=0)
    assert found.mahalanobis.isna().all()
    assert found.ks_median.notna().all()
    assert NO_STAGES in found.note[0]
    assert "no split file" in found.note[0]
