"""Effects of several programs as one, beside the formulas they are named after."""

import numpy as np
import pytest
from scipy.stats import norm

from pertprobe.statistics.pooling import EXPECTED, bayes_factor, heterogeneity


def test_heterogeneity_is_that_of_higgins_and_thompson():
    effects, variances = np.array([0.2, 0.9, 0.4, 1.5]), np.array([0.04, 0.05, 0.02, 0.06])
    weights = 1 / variances
    mean = (weights * effects).sum() / weights.sum()
    q = (weights * (effects - mean) ** 2).sum()
    assert heterogeneity(effects, variances) == pytest.approx(1 - 3 / q)


def test_effects_that_are_equal_do_not_differ_and_one_says_nothing():
    assert heterogeneity(np.full(5, 0.3), np.full(5, 0.01)) == 0
    assert np.isnan(heterogeneity(np.array([0.3]), np.array([0.01])))
    assert np.isnan(heterogeneity(np.array([0.3, 0.4]), np.array([0.01, 0.0])))


def test_a_bayes_factor_is_the_ratio_of_two_integrals():
    share, error = 0.4, 0.15
    effects = np.linspace(-5, 5, 200_001)
    likely = norm.pdf(share, effects, error)
    expected = np.trapezoid(likely * norm.pdf(effects, 0, EXPECTED), effects) / norm.pdf(share, 0, error)
    assert bayes_factor(share, share - 1.959964 * error, share + 1.959964 * error) == pytest.approx(expected, rel=1e-5)


def test_a_clear_share_speaks_for_an_effect_a_clear_zero_against_it_and_a_wide_one_for_neither():
    assert bayes_factor(0.8, 0.6, 1.0) > 100
    assert bayes_factor(0.0, -0.1, 0.1) < 1 / 3
    assert 1 / 3 < bayes_factor(0.2, -1.5, 1.9) < 3
    assert np.isnan(bayes_factor(0.2, np.nan, np.nan))
