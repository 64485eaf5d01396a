from itertools import combinations

import numpy as np
import pytest

from pertprobe.statistics.sets import pairs_without_strength, scores_without_strength, strength_basis


def rng(seed=0):
    return np.random.default_rng(seed)


def symmetric(n, seed):
    values = rng(seed).normal(size=(n, n))
    return values + values.T


def slow_pairs_without_strength(similarity, strength):
    """Ordinary least squares of all pairs on products of polynomials of both ranks."""
    x = (np.argsort(np.argsort(strength)) + 0.5) / len(strength)
    pairs = list(combinations(range(len(x)), 2))
    powers = [(a, b) for a in range(4) for b in range(a, 4)]
    design = np.array([[x[i] ** a * x[j] ** b + x[j] ** a * x[i] ** b for a, b in powers] for i, j in pairs])
    values = np.array([similarity[pair] for pair in pairs])
    return pairs, values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def test_pairs_without_strength_are_residuals_of_least_squares_whatever_the_diagonal():
    similarity, strength = symmetric(25, 1), rng(2).lognormal(size=25)
    pairs, expected = slow_pairs_without_strength(similarity, strength)
    for diagonal in (0.0, 50.0):
        np.fill_diagonal(similarity, diagonal)
        found = pairs_without_strength(similarity, strength)
        np.testing.assert_allclose([found[pair] for pair in pairs], expected, atol=1e-9)
        np.testing.assert_allclose(found, found.T, atol=1e-12)


def test_a_trend_is_removed_whole_and_only_ranks_of_strength_count():
    strength = rng(3).lognormal(size=40)
    basis = strength_basis(strength)
    trend = basis @ symmetric(4, 4) @ basis.T
    np.testing.assert_allclose(pairs_without_strength(trend, strength), 0, atol=1e-9)
    np.testing.assert_allclose(scores_without_strength(basis @ [1.0, 2, 3, 4] + 5 * strength, strength), 0, atol=1e-12)
    noise = symmetric(40, 5)
    np.testing.assert_allclose(
        pairs_without_strength(noise, strength), pairs_without_strength(noise + trend, np.exp(strength)), atol=1e-9
    )


def test_strength_must_be_known():
    with pytest.raises(ValueError, match="finite"):
        scores_without_strength(np.ones(4), [1.0, np.nan, 2.0, 3.0])


@pytest.mark.parametrize("strength", [np.ones(12), np.arange(12) % 2])
def test_equal_strengths_explain_what_they_can(strength):
    scores = rng(6).normal(size=12)
    expected = scores - [scores[strength == each].mean() for each in strength]
    np.testing.assert_allclose(scores_without_strength(scores, strength), expected, atol=1e-12)
    assert np.isfinite(pairs_without_strength(symmetric(12, 7), strength)).all()
    np.testing.assert_allclose(pairs_without_strength(np.full((12, 12), 0.3), strength), 0, atol=1e-12)
