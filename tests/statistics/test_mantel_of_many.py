"""Mantel of many perturbations: draws end once p is settled, and say what all draws would have."""

import numpy as np
import pytest
from scipy.stats import binom

from pertprobe.statistics import mantel as of_mantel
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.permutation import CLEAR, FIRST, REFINED
from pertprobe.statistics.similarity import centred, cosine_similarity

P, M = 30, 9_999
MOST = 2_000
"""Draws of the matrices of these tests that are not too many."""


@pytest.fixture
def dear(monkeypatch):
    """Make the matrices of these tests dear to ask."""
    monkeypatch.setattr(of_mantel, "DEAR", MOST * P**2)


def sides(agree, seed=0, width=8):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(P, width))
    own = (np.sqrt(1 - agree) * rng.normal(size=(P, width)) + np.sqrt(agree) * common for _ in range(2))
    return [cosine_similarity(centred(each)) for each in own]


def in_full(a, b, strength=None):
    return mantel(a, b, M, np.random.default_rng(5), strength=strength)


def test_agreement_that_no_draw_reaches_ends_with_the_first_and_the_p_of_its_moments(monkeypatch):
    a, b = sides(0.6)
    whole = in_full(a, b)
    monkeypatch.setattr(of_mantel, "DEAR", MOST * P**2)
    found = in_full(a, b)
    assert found.n_permutations == FIRST
    assert found.estimate == whole.estimate
    assert whole.p <= 1 / (FIRST + 1)
    assert 1 / (REFINED * (FIRST + 1)) <= found.p <= 1 / (FIRST + 1)
    assert found.p_min == pytest.approx(1 / (REFINED * (FIRST + 1)))


def test_chance_ends_with_the_first_draws(dear):
    found = in_full(*sides(0.0, seed=1))
    assert found.n_permutations == FIRST
    assert found.p > CLEAR / (FIRST + 1)


@pytest.mark.parametrize(("seed", "capped"), [(2, False), (9, True), (13, True)])
def test_between_the_two_draws_end_when_enough_have_reached_the_estimate_or_are_too_many(seed, capped, monkeypatch):
    a, b = sides(0.15, seed)
    whole = in_full(a, b)
    assert 0.01 < whole.p < 0.09
    monkeypatch.setattr(of_mantel, "DEAR", MOST * P**2)
    found = in_full(a, b)
    reached = round(found.p * (found.n_permutations + 1)) - 1
    assert FIRST < found.n_permutations <= MOST
    assert (found.n_permutations == MOST and 0 < reached < CLEAR) if capped else reached == CLEAR
    assert found.p == pytest.approx(whole.p, rel=4 / np.sqrt(reached))


def test_with_strength_held_both_tests_end_alike(dear):
    a, b = sides(0.6)
    strength = np.random.default_rng(2).lognormal(size=P)
    found = in_full(a, b, strength)
    assert found.p_used == "p_stratified"
    assert found.n_permutations == FIRST
    assert found.p_stratified <= 1 / (FIRST + 1)
    assert found.p_min_stratified <= 1 / (FIRST + 1)


def test_matrices_that_are_not_dear_are_asked_as_ever():
    a, b = sides(0.3)
    rng, order = np.random.default_rng(5), np.arange(P)
    upper = np.triu_indices(P, 1)
    observed = np.corrcoef(a[upper], b[upper])[0, 1]
    reached = 0
    for _ in range(499):
        order = rng.permutation(P)
        reached += np.corrcoef(a[upper], b[np.ix_(order, order)][upper])[0, 1] >= observed - 1e-12
    assert mantel(a, b, 499, np.random.default_rng(5)).p == (reached + 1) / 500


def test_where_nothing_agrees_five_in_a_hundred_pass(monkeypatch):
    monkeypatch.setattr(of_mantel, "DEAR", 0)
    monkeypatch.setattr(of_mantel, "FIRST", 99)
    monkeypatch.setattr(of_mantel, "CLEAR", 10)
    found = [mantel(*sides(0.0, seed), 999, np.random.default_rng(seed)).p <= 0.05 for seed in range(300)]
    assert np.mean(found) <= binom.ppf(0.999, 300, 0.05) / 300
