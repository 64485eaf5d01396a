"""Rivals: beside slow versions, and fitted without the cells that they are asked about."""

import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from pertprobe.models.rivals import answers
from pertprobe.models.rivals.answers import FOLDS, Known, fit_rivals, rival_shifts
from pertprobe.models.rivals.autoencoder import Autoencoder, Size
from pertprobe.models.rivals.linear import HELD_BACK, linear_rivals
from pertprobe.models.rivals.silenced import silenced_shifts

GENES = tuple(f"g{i:02d}" for i in range(25))
NAMES = GENES[:6]


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 3)) @ rng.normal(size=(3, 25)) + rng.normal(size=(400, 25)) + 5


@pytest.fixture
def known(cells):
    perturbations = np.array(["ctrl"] * 200 + [NAMES[i % 6] for i in range(200)])
    contexts = np.array(["here", "there"] * 200)
    return Known(cells.astype(np.float32), perturbations, contexts, "ctrl", GENES)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 20)


def test_linear_rivals_are_those_of_the_libraries(cells):
    found, asked = linear_rivals(cells, np.array([2, 7])), [2, 7]
    fitted = cells[np.arange(400) % HELD_BACK != 0]
    centred = fitted - fitted.mean(axis=0)
    slopes = [[np.polyfit(centred[:, k], centred[:, j], 1)[0] for j in range(25)] for k in asked]
    np.testing.assert_allclose(found["slope"], slopes, atol=1e-9)
    penalty = 0.1 * np.trace(np.cov(fitted.T, bias=True)) / 25 * len(fitted)
    for j in (0, 7):
        others = [g for g in range(25) if g != j]
        ridge = Ridge(alpha=penalty, fit_intercept=False).fit(centred[:, others], centred[:, j])
        weights = dict(zip(others, ridge.coef_, strict=True))
        np.testing.assert_allclose(found["ridge_0.1"][:, j], [weights.get(k, 0.0) for k in asked], atol=1e-9)
    axes = PCA(5).fit(fitted).components_
    np.testing.assert_allclose(found["pca_5"], (axes.T @ axes)[asked], atol=1e-6)


def test_the_best_number_of_components_is_that_of_the_cells(cells):
    found = linear_rivals(cells, np.array([2]))
    best = [name for name in found if name != "pca_best" and np.allclose(found[name], found["pca_best"])]
    assert best in ([], ["pca_5"])  # of three axes, not of ten or twenty


def test_a_rival_of_all_cells_is_fitted_without_those_of_the_gene(known):
    before = fit_rivals(known, NAMES, 0)
    own = known.perturbations == NAMES[2]
    changed = known._replace(values=np.where(own[:, None], 10 * known.values, known.values))
    after = fit_rivals(changed, NAMES, 0)
    for name in before.changes:
        alone = np.allclose(before.changes[name][2], after.changes[name][2])
        assert alone, name
        assert name.startswith("control") or not np.allclose(before.changes[name][0], after.changes[name][0])
    assert len(before.nets["all_autoencoder_64"]) == min(FOLDS, len(NAMES))
    assert sorted(np.concatenate([asked for _, asked in before.nets["all_autoencoder_64"]])) == list(range(6))


def test_answers_are_named_and_linear_ones_scale_with_what_is_removed(known):
    rivals = fit_rivals(known, NAMES, 0)
    whole, half = (rival_shifts(rivals, known, known.values[:40], "here", left) for left in (None, [0.5] * 6))
    assert whole.gene.values.tolist() == list(GENES)
    linear = [name for name in whole.rival.values if "autoencoder" not in name]
    np.testing.assert_allclose(half["shift"].sel(rival=linear), whole["shift"].sel(rival=linear) / 2, rtol=1e-5)
    assert {name.split("_")[0] for name in whole.rival.values} == {"control", "all", "context"}


def test_genes_that_are_not_knocked_down_change_no_other_answer(known):
    alone, more = fit_rivals(known, NAMES, 0), fit_rivals(known, NAMES, 0, further=GENES[6:13])
    mine = rival_shifts(alone, known, known.values[:40], "here")
    xr.testing.assert_allclose(rival_shifts(more, known, known.values[:40], "here", names=NAMES), mine)
    other = rival_shifts(more, known, known.values[:40], "here", names=(GENES[8], NAMES[1]))
    np.testing.assert_allclose(other["shift"][:, 1], mine["shift"].sel(perturbation=NAMES[1]), rtol=1e-5, atol=1e-6)
    assert all(np.abs(other["shift"]).sum(["perturbation", "gene"]) > 0)
    control = linear_rivals(np.asarray(known.values[known.controls], dtype=float), np.array([8]))["pca_5"]
    removed = known.values[:40, 8].mean(dtype=float)
    np.testing.assert_allclose(
        other["shift"].sel(rival="control_pca_5")[0], -removed * control[0], rtol=1e-4, atol=1e-6
    )


def test_order_of_names_changes_nothing(known):
    first, second = (rival_shifts(fit_rivals(known, names, 0), known, known.values[:40], "here")
                     for names in (NAMES, NAMES[::-1]))  # fmt: skip
    np.testing.assert_allclose(first["shift"], second["shift"].sel(perturbation=list(NAMES)), rtol=1e-4, atol=1e-5)


def test_an_autoencoder_learns_and_answers_as_it_is_asked(cells, monkeypatch):
    monkeypatch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 400)
    import torch

    net = Autoencoder.fitted(cells, Size(16, 4), 0)
    given = torch.as_tensor(cells, dtype=torch.float32)
    with torch.no_grad():
        left = (net(given) - given).square().mean() / given.var(dim=0).mean()
        edited = given.clone()
        edited[:, 3] = 0
        expected = (net(edited) - net(given)).mean(dim=0)
    assert left < 0.75
    np.testing.assert_allclose(silenced_shifts(net, cells, np.array([3]), [0.0])[0], expected, atol=1e-4)
    again = Autoencoder.fitted(cells, Size(16, 4), 0)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_folds_hold_every_name_once():
    found = np.concatenate(answers._folds([f"n{i}" for i in range(13)]))
    assert sorted(found) == list(range(13))


def test_rivals_of_few_relations_move_the_genes_that_correlate_most(cells):
    found = linear_rivals(cells, np.array([2]))
    fitted = cells[np.arange(400) % HELD_BACK != 0]
    order = np.argsort(-np.abs(np.corrcoef(fitted.T)[2]))[1:]  # without itself
    for share, number in ((0.05, 1), (0.15, 4)):
        assert sorted(np.flatnonzero(found[f"slope_of_{share}"][0])) == sorted(order[:number])
    np.testing.assert_array_equal(found["slope_of_0.15"][0, order[:4]], found["slope"][0, order[:4]])
