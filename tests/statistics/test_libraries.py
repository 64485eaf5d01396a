"""What is written out here, held to the libraries that the field knows: the same numbers, or how far apart and why."""

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy
from sklearn.covariance import LedoitWolf, ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower

from pertprobe.data.networks.screen import TARGET_SUM
from pertprobe.data.simulate import simulate
from pertprobe.interpret import concept_directions
from pertprobe.probes.pert_embedding import neighbours
from pertprobe.stages.distribution import Cloud, shrunk_covariance
from pertprobe.statistics.nuisances import Beside
from pertprobe.statistics.power import Null, benjamini_hochberg, interval, power, smallest_effect
from pertprobe.statistics.reliability import bootstrap_mean
from pertprobe.statistics.sets import pairs_without_strength, scores_without_strength


def rng():
    return np.random.default_rng(0)


def smooth(strength):
    """Return a constant and the first three powers of strength's rank [n, 4]."""
    return np.vander(scipy.stats.rankdata(strength) / len(strength), 4)


@pytest.mark.parametrize("linear", [True, False])
def test_scores_without_strength_are_the_residuals_of_statsmodels_ols(linear):
    strength, scores = rng().lognormal(size=40), rng().normal(size=40)
    strength[:6] = strength[0]  # ties
    design = np.column_stack([smooth(strength), strength]) if linear else smooth(strength)
    np.testing.assert_allclose(scores_without_strength(scores, strength, linear), OLS(scores, design).fit().resid)


def test_similarities_without_strength_are_the_residuals_of_statsmodels_ols_over_pairs():
    n = 14
    strength, similarity = rng().lognormal(size=n), rng().normal(size=(n, n))
    columns, apart = smooth(strength), ~np.eye(n, dtype=bool)
    design = np.einsum("ik,jl->ijkl", columns, columns)[apart].reshape(apart.sum(), -1)
    found = pairs_without_strength(similarity, strength)
    np.testing.assert_allclose(found[apart], OLS(similarity[apart], design).fit().resid, atol=1e-9)


def test_scores_without_further_nuisances_are_the_residuals_of_one_ols():
    strength, cells, scores = rng().lognormal(size=30), np.arange(30.0)[::-1], rng().normal(size=30)
    groups = np.eye(3)[rng().integers(3, size=30)]
    design = np.column_stack([smooth(strength), strength, groups, scipy.stats.rankdata(cells)])
    found = Beside(groups=groups, cells=cells).scores_without(scores, strength)
    np.testing.assert_allclose(found, OLS(scores, design).fit().resid, atol=1e-9)


@pytest.mark.parametrize(("n", "d", "alpha"), [(5, 0.3, 0.05), (12, 0.5, 0.01), (40, 1.0, 0.001)])
def test_power_with_a_normal_null_is_that_of_statsmodels(n, d, alpha):
    null = Null(unit_sd=2.0, null_sd=2.0 / np.sqrt(n))
    known = NormalIndPower(ddof=0)
    asked = {"nobs1": n, "alpha": alpha, "ratio": 0, "alternative": "larger"}
    assert power(null, alpha, d) == pytest.approx(known.power(effect_size=d, **asked), abs=1e-9)
    assert smallest_effect(null, alpha, 0.8) == pytest.approx(known.solve_power(power=0.8, **asked), rel=1e-5)


def test_the_interval_of_an_effect_with_a_normal_null_is_that_of_scipy():
    np.testing.assert_allclose(interval(0.7, 0.2, level=0.9), scipy.stats.norm.interval(0.9, 0.7, 0.2), atol=1e-9)


def test_q_values_are_those_of_statsmodels():
    p = np.concatenate([rng().random(50), [0.001, 0.001, 1.0]])
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])


@pytest.mark.parametrize("shape", [(200, 12), (20, 30)])
def test_the_shrunk_covariance_and_its_distances_are_those_of_sklearn(shape):
    points = rng().normal(size=shape) @ rng().normal(size=(shape[1], shape[1]))
    np.testing.assert_allclose(shrunk_covariance(points), ledoit_wolf(points)[0], rtol=1e-9, atol=1e-9)
    known = LedoitWolf().fit(points)
    np.testing.assert_allclose(Cloud.of(points).distances(points) ** 2, known.mahalanobis(points), rtol=1e-6)


def test_cells_without_spread_have_a_covariance_where_sklearn_divides_by_nothing():
    one = np.outer(np.arange(20.0), np.ones(4))  # of rank 1: shrunk a little, so that the inverse exists
    assert np.linalg.cond(shrunk_covariance(one)) < 1e7
    assert Cloud.of(np.ones((5, 3))) is None


def test_folds_are_stratified_and_their_accuracy_is_that_of_sklearn_with_the_same_folds():
    states = rng().normal(size=(30, 4)) + np.linspace(0, 1, 30)[:, None]
    labels = (np.arange(30) >= 20)[None]
    folds = concept_directions._stratified(labels, 5, np.random.default_rng(3))[0]
    assert {tuple(np.bincount(folds[labels[0] == side])) for side in (True, False)} == {(2,) * 5, (4,) * 5}
    scores, _ = concept_directions.principal_scores(states)
    known = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=5000)
    said = cross_val_predict(known, scores, labels[0], cv=PredefinedSplit(folds))
    expected = np.mean([(said == labels[0])[labels[0] == side].mean() for side in (True, False)])
    assert concept_directions.accuracy(states, labels, np.random.default_rng(3))[0] == pytest.approx(expected)


def test_neighbours_are_those_of_sklearn():
    profiles = rng().normal(size=(40, 7))
    unit = profiles / np.linalg.norm(profiles, axis=1, keepdims=True)
    known = NearestNeighbors(n_neighbors=5, metric="cosine").fit(profiles).kneighbors(return_distance=False)
    found = neighbours(unit @ unit.T, 5)
    assert [set(np.flatnonzero(row)) for row in found] == [set(row) for row in known]


@pytest.mark.parametrize(("n", "apart"), [(5, 1e-9), (30, 0.08)])
def test_intervals_of_a_mean_are_those_of_scipy(n, apart):
    """Below 8 units the jackknife, which is Student's t; from there the percentiles, apart by the draws alone."""
    values = rng().gamma(2.0, size=n)
    found = bootstrap_mean(values, 20_000, rng())
    known = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=rng())
    students = scipy.stats.t.interval(0.95, n - 1, values.mean(), scipy.stats.sem(values))
    expected = students if n < 8 else known.confidence_interval
    assert np.abs(np.subtract(found, expected)).max() < apart * (found[1] - found[0])


@pytest.mark.parametrize("target_sum", [None, TARGET_SUM])
def test_normalised_and_logged_counts_are_those_of_scanpy_to_rounding(target_sum):
    made = simulate(genes=60, perturbations=10, programs=2, cells_per_perturbation=4, control_cells=20, seed=0).cells
    counts = made.layers["counts"].toarray().astype(np.float64)
    known = ad.AnnData(counts.copy())
    sc.pp.normalize_total(known, target_sum=target_sum)
    sc.pp.log1p(known)
    logged = np.log1p(counts / counts.sum(axis=1, keepdims=True) * TARGET_SUM)
    np.testing.assert_allclose(made.X if target_sum is None else logged, known.X, rtol=1e-6, atol=1e-6)
