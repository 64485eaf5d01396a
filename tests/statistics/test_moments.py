from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm, skew

from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.moments import PairSums, pair_means, score_moments, tail
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.sets import uniform_sets
from pertprobe.statistics.similarity import cosine_similarity


def rng(seed=0):
    return np.random.default_rng(seed)


def symmetric(n, seed):
    values = rng(seed).normal(size=(n, n)) ** 2
    return values + values.T


def third(moments):
    return moments.skewness * moments.sd**3


@pytest.mark.parametrize("n_units", [3, 4, 5, 6, 7, 8, 9])
def test_moments_are_those_of_all_subsets(n_units):
    similarity, scores = symmetric(n_units, n_units), rng(n_units).normal(size=n_units) ** 3
    sums = PairSums.of(similarity)
    for n in range(2, n_units):
        sets = list(combinations(range(n_units), n))
        pairs = np.array([np.mean([similarity[i, j] for i, j in combinations(s, 2)]) for s in sets])
        means = np.array([scores[list(s)].mean() for s in sets])
        for found, values in ((sums.moments(n), pairs), (score_moments(scores, n), means)):
            expected = values.mean(), values.std(), ((values - values.mean()) ** 3).mean()
            np.testing.assert_allclose((found.mean, found.sd, third(found)), expected, rtol=1e-10, atol=1e-10)


def test_moments_of_many_units_are_those_of_draws():
    similarity = cosine_similarity(rng(1).lognormal(size=(300, 8)))
    for n in (2, 3, 20, 299):
        null = pair_means(similarity, uniform_sets(n, 300, 30_000, rng(n)))
        found = PairSums.of(similarity).moments(n)
        assert found.mean == pytest.approx(null.mean(), abs=5 * found.sd / np.sqrt(null.size))
        assert found.sd == pytest.approx(null.std(), rel=0.04)
        assert found.skewness == pytest.approx(skew(null), abs=0.12)


def test_scale_and_diagonal_have_no_say_in_the_shape():
    similarity = symmetric(12, 2)
    one, other = (PairSums.of(s).moments(4) for s in (similarity, 5 - 3 * similarity + np.diag(np.arange(12.0))))
    assert other.mean == pytest.approx(5 - 3 * one.mean)
    assert other.sd == pytest.approx(3 * one.sd)
    assert other.skewness == pytest.approx(-one.skewness)


def test_a_null_of_one_value_has_no_spread_and_its_tail_is_a_step():
    for found in (PairSums.of(symmetric(6, 3)).moments(6), score_moments([1.0, 4.0, 5.0], 3)):
        assert found.sd == 0
        assert [tail(found.mean + shift, *found) for shift in (-1, 0, 1)] == [1, 1, 0]
    assert PairSums.of(np.full((30, 30), 0.3)).moments(4).sd == 0


def test_tail_is_normal_without_skewness_and_gamma_with_it():
    assert tail(3.0, 1.0, 2.0, 0.0) == pytest.approx(norm.sf(1.0))
    assert tail(1 + 2 * 2.0, 1.0, 2.0, 2.0) == pytest.approx(np.exp(-3))  # skewness 2: exponential, mean - sd at its 0
    assert np.isnan(tail(1.0, 0.0, np.nan, 0.0))


@pytest.mark.parametrize(("n", "factor"), [(3, 3.5), (10, 2)])
def test_tail_approximates_small_p(n, factor):
    """At p = 0.001; too large rather than too small, by more the fewer members there are."""
    for seed, profiles in enumerate((rng(4).normal(size=(150, 20)), rng(5).lognormal(0, 0.7, size=(150, 6)))):
        similarity, scores = cosine_similarity(profiles - profiles.mean(axis=0)), profiles[:, 0] ** 2
        sets = uniform_sets(n, 150, 200_000, rng(seed))
        for null, moments in (
            (pair_means(similarity, sets), PairSums.of(similarity).moments(n)),
            (scores[sets].mean(axis=1), score_moments(scores, n)),
        ):
            assert 0.8 < tail(np.quantile(null, 0.999), *moments) / 0.001 < factor


def test_p_tail_of_a_test_goes_below_p_min_but_not_below_one_arrangement():
    block = 0.02 * symmetric(60, 7)
    block[:6, :6] += 1.0
    test = coherence(block, range(6), None, 499, rng())
    assert 0 < test.p_tail < test.p_min / 100
    few = mean_score([9.0, 8.0, 0.0, 0.0, 0.0, 0.1], [0, 1], None, 99, rng())
    assert few.p_tail >= few.p == pytest.approx(1 / 15)
