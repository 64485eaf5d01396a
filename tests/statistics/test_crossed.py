"""Profiles of the same units in two models: correlations, what strength explains of them, and the test."""

import numpy as np
import pytest
from scipy.stats import kstest

from pertprobe.statistics.matched import crossed_test, pearson_matrix, strata
from pertprobe.statistics.permutation import randomised
from pertprobe.statistics.sets import pairs_without_strength


@pytest.mark.parametrize("left_out", [None, [0, 3, 7]])
def test_correlations_are_those_of_numpy_without_the_outputs_of_both(left_out):
    rng = np.random.default_rng(0)
    a, b = 5 + rng.normal(size=(2, 6, 12))
    a_outputs, b_outputs = np.array([0, 1, 2, -1, 4, 11]), np.array([5, 1, 3, 4, -1, 2])
    found = pearson_matrix(a, b, a_outputs, b_outputs, left_out)
    for i in range(6):
        for j in range(6):
            kept = np.setdiff1d(np.arange(12), [a_outputs[i], b_outputs[j], *(left_out or [])])
            assert found[i, j] == pytest.approx(np.corrcoef(a[i, kept], b[j, kept])[0, 1], abs=1e-12)


def test_a_profile_that_is_constant_beside_its_own_output_has_no_correlation():
    a, b = np.full((2, 5), 3.0), np.random.default_rng(0).normal(size=(2, 5))
    a[0, 2], a[1, 4] = 9.0, 1.0
    found = pearson_matrix(a, b, [2, 0], [-1, -1])
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_the_trend_is_fitted_by_pairs_of_different_units_alone():
    rng, n = np.random.default_rng(1), 30
    strengths = rng.lognormal(size=(2, n))
    r = 0.1 * rng.normal(size=(n, n)) + np.add.outer(*(np.argsort(np.argsort(each)) / n for each in strengths))
    adjusted, matched = (pairs_without_strength(each, *strengths) for each in (r, r + 5 * np.eye(n)))
    np.testing.assert_allclose(matched - adjusted, 5 * np.eye(n), atol=1e-9)
    ranks = [(np.argsort(np.argsort(each)) + 0.5) / n for each in strengths]
    basis = [np.polynomial.legendre.legvander(2 * each - 1, 3) for each in ranks]
    apart = ~np.eye(n, dtype=bool)
    columns = np.stack([np.outer(x, y)[apart] for x in basis[0].T for y in basis[1].T], axis=1)
    slow = r[apart] - columns @ np.linalg.lstsq(columns, r[apart], rcond=None)[0]
    np.testing.assert_allclose(adjusted[apart], slow, atol=1e-9)


def test_strata_are_of_like_strength_and_not_too_small():
    strength = np.random.default_rng(0).random(80)
    found = strata(strength)
    assert np.bincount(found).tolist() == [8] * 10
    assert (np.diff(found[np.argsort(strength)]) >= 0).all()
    assert np.bincount(strata(np.arange(25))).tolist() == [9, 8, 8]
    assert strata(np.arange(5)).tolist() == [0] * 5


def models(rng, agree=0.0, members=(), shared=1.0, n=60):
    """Return r and strengths of two models whose responses share one direction and a size, and agree in members."""
    size = rng.lognormal(0, 0.6, n)[:, None]
    common, own = rng.normal(size=40), rng.normal(size=(n, 40))
    sides = [size * (shared * common + rng.normal(size=(n, 40))) for _ in range(2)]
    for side in sides:
        side[list(members)] += agree * own[list(members)]
    none = np.full(n, -1)
    centred = [side - side.mean(axis=0) for side in sides]
    return pearson_matrix(*centred, none, none), *(np.linalg.norm(side, axis=1) for side in sides)


def test_members_that_agree_are_found_and_the_parts_add_up():
    rng = np.random.default_rng(0)
    result = crossed_test(*models(rng, agree=2.0, members=range(6)), 499, rng, members=range(6))
    assert result.test.p == 1 / 500
    assert result.matched - result.partners == pytest.approx(result.test.estimate)
    assert result.test.estimate > 0.4
    assert result.test.unit_sd > 0


def test_programs_of_strong_perturbations_are_found_at_the_nominal_rate_only():
    rng, tests = np.random.default_rng(0), []
    for _ in range(300):
        r, *strengths = models(rng, shared=3.0)
        weights = strengths[0] ** 2 / (strengths[0] ** 2).sum()
        tests.append(crossed_test(r, *strengths, 199, rng, members=rng.choice(60, 8, replace=False, p=weights)).test)
    assert np.mean([test.p < 0.05 for test in tests]) < 0.09


def test_p_is_uniform_for_programs_of_any_perturbations():
    rng = np.random.default_rng(0)
    tests = [crossed_test(*models(rng), 99, rng, members=rng.choice(60, 8, replace=False)).test for _ in range(300)]
    assert kstest([randomised(test, rng.random()) for test in tests], "uniform").pvalue > 0.001


def test_a_profile_that_varies_in_neither_model_is_left_out_and_counted():
    rng = np.random.default_rng(0)
    r, *strengths = models(rng, agree=2.0, members=range(6))
    r[0], r[:, 0] = np.nan, np.nan
    result = crossed_test(r, *strengths, 199, rng, members=range(6))
    assert result.n_constant == 1
    assert result.genes.tolist() == [1, 2, 3, 4, 5]
    assert np.isfinite(result.test.p)
