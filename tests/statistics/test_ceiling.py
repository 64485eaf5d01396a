from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import binom, rankdata

from pertprobe.statistics.reliability import feature_weights, mean_noise_ceiling, noise_ceiling, pair_weights


def rng(seed=0):
    return np.random.default_rng(seed)


def sides(generator, r, noise=1.0, n_sets=4, n_features=300):
    """Two profiles whose correlation is r, measured on the same cells: set i of both shares all of its noise."""
    x, y = generator.multivariate_normal([0, 0], [[1, r], [r, 1]], n_features).T
    shared = noise * generator.normal(size=(n_sets, n_features))
    return x + shared, y + shared


def slow(x, y, weights):
    """Means over pairs of sets of weighted correlations, one by one."""

    def correlation(a, b):
        return np.cov(a, b, aweights=weights)[0, 1] / np.sqrt(np.cov(a, aweights=weights) * np.cov(b, aweights=weights))

    crossed = [correlation(x[i], y[j]) for i, j in product(range(len(x)), range(len(y))) if i != j]
    within = [[correlation(a, b) for a, b in combinations(side, 2)] for side in (x, y)]
    return np.mean(crossed), np.mean(within[0]), np.mean(within[1])


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
def test_ceiling_is_that_of_pairs_of_sets(correlation):
    x, y = sides(rng(1), 0.6)
    x = x[:3]
    found = noise_ceiling(x, y, correlation=correlation)
    ranked = [rankdata(side, axis=1) for side in (x, y)] if correlation == "spearman" else (x, y)
    r, x_self, y_self = slow(*ranked, np.ones(300))
    assert found[:4] == pytest.approx((r, x_self, y_self, np.sqrt(x_self * y_self)))
    assert found.disattenuated == pytest.approx(r / np.sqrt(x_self * y_self))
    assert np.isnan(found.low)


def test_interval_is_the_bootstrap_over_features():
    x, y = sides(rng(2), 0.5, n_features=80)
    weights = list(feature_weights(80, 60, rng(3)))
    assert all(each.sum() == 80 for each in weights)
    slow_parts = np.array([slow(x, y, each) for each in weights])
    ratio = slow_parts[:, 0] / np.sqrt(slow_parts[:, 1] * slow_parts[:, 2])
    found = noise_ceiling(x, y, weights)
    np.testing.assert_allclose((found.low, found.high), np.quantile(ratio, [0.025, 0.975]))


@pytest.mark.parametrize("r", [0.0, 0.8])
def test_interval_covers_the_truth_though_both_sides_share_their_noise(r):
    generator, covered, centre = rng(int(10 * r)), 0, []
    for _ in range(200):
        found = noise_ceiling(*sides(generator, r, n_features=200), feature_weights(200, 200, generator))
        covered += found.low <= r <= found.high
        centre.append(found.disattenuated)
    assert covered >= binom.ppf(0.001, 200, 0.95)
    assert np.mean(centre) == pytest.approx(r, abs=0.02)


def test_reading_both_sides_on_the_same_cells_would_find_agreement_that_is_not_there():
    x, y = sides(rng(5), 0.0, noise=3.0, n_features=2000)
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)]) > 0.8
    assert noise_ceiling(x, y).r == pytest.approx(0, abs=0.1)


def test_agreement_is_not_clipped_and_blind_to_scale():
    x, _ = sides(rng(6), 0.0)
    one, other = noise_ceiling(x, x[::-1]), noise_ceiling(7 * x + 2, 0.1 * x[::-1])
    assert one[:5] == pytest.approx(other[:5])
    quiet, _ = sides(rng(6), 0.0, noise=0.1)
    assert noise_ceiling(quiet[[0, 1]] + 0.5 * rng(1).normal(size=300), quiet[[2, 3]]).disattenuated < 1
    exceeding = [noise_ceiling(*sides(rng(seed), 1.0, n_features=20)).disattenuated for seed in range(20)]
    assert max(exceeding) > 1


def test_unreliable_and_constant_profiles_have_no_disattenuated_value():
    noise = rng(7).normal(size=(2, 4, 200))
    found = noise_ceiling(*noise, feature_weights(200, 100, rng()))
    assert np.isnan([found.disattenuated, found.low, found.high]).all()
    assert found.note == "lower bound of a reliability is below 0.1"
    x, y = sides(rng(8), 0.5)
    y[2] = 4.0
    assert noise_ceiling(x, y).note == "a profile is constant"


def test_a_reliability_is_judged_by_its_lower_bound():
    x, y = sides(rng(9), 0.5, noise=1.8, n_features=60)
    without, with_interval = noise_ceiling(x, y), noise_ceiling(x, y, feature_weights(60, 400, rng()))
    assert min(without[1:3]) > 0.1
    assert without.note == ""
    assert np.isfinite(without.disattenuated)
    assert np.isnan(with_interval.disattenuated)


def test_pairs_of_units_are_drawn_through_their_units():
    unit = next(feature_weights(7, 1, rng(4)))
    pair = next(pair_weights(7, 1, rng(4)))
    assert pair.tolist() == [unit[i] * unit[j] for i, j in combinations(range(7), 2)]
    assert pair.sum() == (7**2 - (unit**2).sum()) / 2


def test_several_units_are_averaged_and_drawn_as_units():
    generator = rng(11)
    both = [sides(generator, 0.5) for _ in range(20)]
    x, y = (np.stack([each[side] for each in both], axis=1) for side in (0, 1))
    found = mean_noise_ceiling(x, y, 500, rng())
    parts = np.array([slow(*each, np.ones(300)) for each in both])
    assert found[:3] == pytest.approx(parts.mean(axis=0))
    assert found.disattenuated == pytest.approx(found.r / found.ceiling)
    assert found.low < 0.5 < found.high
    few = mean_noise_ceiling(x[:, :4], y[:, :4], 500, rng())
    assert few.low < few.disattenuated < few.high
    y[0, 3] = 1.0
    left = mean_noise_ceiling(x, y, 500, rng())
    assert left.note == "1 constant profiles left out"
    assert left.r == pytest.approx(np.delete(parts, 3, axis=0)[:, 0].mean())


@pytest.mark.parametrize("n_units", [1, 2])
def test_too_few_units_have_no_lower_bound(n_units):
    x, y = (np.stack([side] * n_units, axis=1) for side in sides(rng(12), 0.5))
    found = mean_noise_ceiling(x, y, 50, rng())
    assert np.isnan(found.low) == (n_units == 1)
    assert ("too few units" in found.note) == (n_units == 1)


def test_sides_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="two sets of cells"):
        noise_ceiling(np.ones((1, 5)), np.ones((3, 5)))
    with pytest.raises(ValueError, match="same profiles"):
        noise_ceiling(np.ones((2, 5)), np.ones((2, 6)))
