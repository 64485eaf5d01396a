"""Features read in two models: which are conserved, and do programs use the same ones?"""

import numpy as np
import pytest
from scipy.stats import kstest, spearmanr

from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.conserved import (
    BATCH,
    conservation,
    conserved_features,
    halves,
    ranked,
    standardised,
    without_each,
)
from pertprobe.statistics.permutation import randomised
from pertprobe.statistics.similarity import centred


def sides(seed=0, units=60, features=30, shared=0):
    """Return features of two models, the first `shared` of which follow the same perturbations."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, units, features))
    y[:, :shared] = x[:, :shared] + 0.1 * y[:, :shared]
    return x, y


def test_r_is_spearmans_and_the_share_counts_what_exceeds_the_bound():
    x, y = sides(shared=6)
    found = conserved_features(x, y, None, 0.5, 199, np.random.default_rng(0))
    slow = [spearmanr(x[:, f], y[:, f]).statistic for f in range(30)]
    np.testing.assert_allclose(found.r, slow, atol=1e-12)
    assert found.test.estimate == np.mean(np.array(slow) > 0.5) == 6 / 30
    assert found.test.p == 1 / 200
    assert found.p[:6].max() == 1 / 200
    assert kstest(found.p[6:], "uniform").pvalue > 0.001


def test_features_that_do_not_vary_are_nan_also_where_they_vary_by_rounding():
    x, y = sides(shared=3)
    x[:, 4], y[:, 5] = 2.0, 3.0 + 1e-8 * y[:, 5]
    found = conserved_features(x, y, None, 0.5, 99, np.random.default_rng(0))
    assert np.flatnonzero(~found.varying).tolist() == [4, 5]
    assert np.isnan(found.p[[4, 5]]).all()
    assert found.test.estimate == 3 / 28
    assert conserved_features(np.ones((9, 2)), np.ones((9, 2)), None, 0.5, 99, np.random.default_rng(0)) is None


def test_relabelling_keeps_what_features_share():
    x, _ = sides()
    copies = np.repeat(x[:, :1], 30, axis=1)  # one feature thirty times: all are conserved, or none
    found = conserved_features(copies, np.roll(copies, 7, axis=0), None, 0.2, 999, np.random.default_rng(0))
    assert found.test.null_sd > 0.1
    independent = conserved_features(x, np.roll(x, 7, axis=0), None, 0.2, 999, np.random.default_rng(0))
    assert independent.test.null_sd < found.test.null_sd / 2


def test_the_null_does_not_depend_on_how_many_draws_are_held_at_once(monkeypatch):
    x, y = sides(shared=4)
    whole = conserved_features(x, y, np.arange(60), 0.5, 99, np.random.default_rng(0))
    monkeypatch.setattr("pertprobe.statistics.conserved.BATCH", BATCH // 10**5)
    parts = conserved_features(x, y, np.arange(60), 0.5, 99, np.random.default_rng(0))
    assert whole.test == parts.test
    np.testing.assert_array_equal(whole.p, parts.p)


def test_features_that_follow_strength_alone_are_conserved_by_chance_where_strength_is_held():
    rng = np.random.default_rng(0)
    strength = rng.lognormal(size=100)
    x, y = (np.log(strength)[:, None] + 0.6 * rng.normal(size=(100, 40)) for _ in range(2))
    test = conserved_features(x, y, strength, 0.5, 299, rng).test
    assert test.estimate > 0.9
    assert test.p == 1 / 300
    assert test.p_stratified > 0.05
    assert test.p_used == "p_stratified"
    assert test.null_mean > 0.8


def slow_statistic(x, y, members, strength):
    """Return the cosine of what every other member names with what the rest load, profile by profile."""
    order = sorted(members, key=lambda i: strength[i])
    naming, scored = order[1::2], order[::2]
    first = sum(x[i] / np.linalg.norm(x[i]) for i in naming)
    second = sum(y[i] / np.linalg.norm(y[i]) for i in scored)
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


@pytest.mark.parametrize("n", [2, 3, 7, 12])
def test_the_statistic_is_the_cosine_of_one_half_here_with_the_other_half_there(n):
    x, y = sides()
    strength, members = np.random.default_rng(1).random(60), np.random.default_rng(2).permutation(60)[:n]
    test = conservation(x, y, members, strength, 99, np.random.default_rng(0))
    assert test.estimate == pytest.approx(slow_statistic(x, y, members, strength))
    if n > 2:
        left_out = without_each(x, y, members, strength)
        slow = [slow_statistic(x, y, np.delete(np.sort(members), i), strength) for i in range(n)]
        np.testing.assert_allclose(left_out, slow)


def test_no_unit_is_on_both_sides():
    units = np.array([[5, 2, 9], [1, 0, 3]])
    naming, scored = halves(units, ranked(10, np.arange(10)))
    assert naming.tolist() == [[5], [1]]
    assert scored.tolist() == [[2, 9], [0, 3]]


def test_a_shared_initialisation_alone_is_no_conservation():
    """Codes of one seed are equal in both models, perturbation by perturbation, and unrelated between perturbations."""
    rng, tests = np.random.default_rng(0), []
    for _ in range(200):
        x = rng.normal(size=(40, 30))
        tests.append(conservation(x, x, rng.choice(40, 6, replace=False), None, 99, rng))
    assert kstest([randomised(test, rng.random()) for test in tests], "uniform").pvalue > 0.001


def planted(rng, first, second, strength, members, size=3.0):
    """Return profiles in which members lie along one direction in the first model and another in the second."""
    x, y = rng.normal(size=(2, 60, 40)) * strength[:, None]
    x[members] += size * first
    y[members] += size * second
    return centred(x), centred(y)


def test_members_alike_in_both_models_in_the_same_features_are_found_in_unrelated_ones_they_are_not():
    rng, found = np.random.default_rng(0), {"same": [], "unrelated": []}
    for _ in range(200):
        strength, members = rng.lognormal(0, 0.3, 60), rng.choice(60, 8, replace=False)
        first, second = rng.normal(size=(2, 40)) / np.sqrt(10)
        for kind, direction in (("same", first), ("unrelated", second)):
            test = conservation(*planted(rng, first, direction, strength, members), members, strength, 99, rng)
            found[kind].append(test.p_stratified < 0.05)
    assert np.mean(found["same"]) > 0.95
    assert np.mean(found["unrelated"]) < 0.105  # the one-sided 99.9 % bound of 5 % in 200


def test_a_mean_of_cosines_would_be_far_from_0_for_members_alike_in_unrelated_features():
    rng, p = np.random.default_rng(0), []
    for _ in range(300):
        strength, members = np.ones(60), rng.choice(60, 8, replace=False)
        x, y = planted(rng, *rng.normal(size=(2, 40)) / np.sqrt(10), strength, members)
        x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
        p.append(coherence((x @ y.T + y @ x.T) / 2, members, None, 99, rng).p)
    assert np.mean(np.array(p) < 0.05) > 0.25
    assert np.mean(np.array(p) > 0.95) > 0.3


def test_the_rise_is_that_of_members_one_sd_up():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4000, 50))
    members = np.arange(11)
    test = conservation(x, y, members, None, 9, rng)
    named = (x[1:11:2] / np.linalg.norm(x[1:11:2], axis=1, keepdims=True)).mean(axis=0)
    named /= np.linalg.norm(named)
    scores = (y / np.linalg.norm(y, axis=1, keepdims=True)) @ named
    raised = []
    for _ in range(200):
        z = rng.normal(size=(6, 50))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        mean = z.mean(axis=0) + scores.std() * named
        raised.append(mean @ named / np.linalg.norm(mean))
    assert test.unit_sd == pytest.approx(np.mean(raised), rel=0.1)


def test_standardised_features_have_mean_0_and_sd_1_or_do_not_vary():
    x, _ = sides()
    x[:, 3] = 7.0
    found = standardised(x)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.delete(found, 3, axis=1).std(axis=0), 1)
    assert not found[:, 3].any()
