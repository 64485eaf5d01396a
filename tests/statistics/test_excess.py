"""The interval of a difference of two estimates over units: of means, and of means over pairs."""

import numpy as np
import pytest
import scipy

from pertprobe.statistics.excess import half_width
from pertprobe.statistics.reliability import pair_contributions

RNG = np.random.default_rng(0)
NONE = np.full(4, np.nan)


def test_the_same_units_are_paired_and_others_are_two_samples():
    ours, theirs = RNG.normal(size=(2, 4))
    t = scipy.stats.t.ppf(0.975, 3)
    assert half_width(ours, theirs) == pytest.approx(t * scipy.stats.sem(ours - theirs))
    apart = half_width(np.concatenate([ours, NONE]), np.concatenate([NONE, theirs]))
    assert apart == pytest.approx(t * np.hypot(scipy.stats.sem(ours), scipy.stats.sem(theirs)))


def test_each_side_is_on_its_own_scale():
    ours, theirs = RNG.normal(size=(2, 6))
    assert half_width(10 * ours, theirs / 4, (10.0, 0.25)) == pytest.approx(half_width(ours, theirs))


@pytest.mark.parametrize("sides", [(np.array([]), np.array([])), (np.array([1.0, 2.0]), np.array([1.0, np.nan]))])
def test_below_two_units_there_is_no_interval(sides):
    assert np.isnan(half_width(*sides))


def test_units_that_do_not_vary_need_no_scale_and_those_that_do_have_no_interval_without():
    ours, flat = RNG.normal(size=5), np.full(5, 0.1) + 1e-17
    assert half_width(ours, flat, (1.0, 0.0)) == pytest.approx(half_width(ours, np.zeros(5)))
    assert np.isnan(half_width(ours, ours[::-1], (1.0, 0.0)))


def test_contributions_to_a_mean_over_pairs_are_those_of_the_jackknife():
    similarity = RNG.normal(size=(9, 9))
    similarity += similarity.T
    members = [1, 3, 4, 8]
    found = pair_contributions(similarity, members)
    pairs = lambda kept: np.mean([similarity[i, j] for i in kept for j in kept if i < j])  # noqa: E731
    assert found.mean() == pytest.approx(pairs(members))
    without = [pairs([each for each in members if each != left]) for left in members]
    np.testing.assert_allclose(found, 4 * pairs(members) - 3 * np.array(without))
    assert pair_contributions(similarity, members[:2]).size == 0


@pytest.mark.parametrize("n", [4, 10])
def test_coherence_as_great_as_another_exceeds_it_once_in_twenty_at_most(n):
    members, low = np.arange(n), []
    for _ in range(400):
        profiles = 0.5 + RNG.normal(size=(2, n, 20))
        profiles /= np.linalg.norm(profiles, axis=2, keepdims=True)
        ours, theirs = (pair_contributions(each @ each.T, members) for each in profiles)
        low.append(ours.mean() - theirs.mean() - half_width(ours, theirs))
    assert np.mean(np.array(low) > 0) < 0.06
