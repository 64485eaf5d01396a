from itertools import combinations
from math import comb, isnan

import numpy as np
import pytest
from scipy.stats import ks_2samp

from pertprobe.seeding import generator
from pertprobe.statistics import moments
from pertprobe.statistics.coherence import coherence, coherence_tests
from pertprobe.statistics.moments import pair_means, prefix_pair_means
from pertprobe.statistics.sets import random_orders
from pertprobe.statistics.similarity import cosine_similarity


def rng(seed=0):
    return np.random.default_rng(seed)


def symmetric(n, seed):
    values = rng(seed).normal(size=(n, n))
    return (values + values.T) / 2


def seeded(name):
    return generator(3, name)


def slow(similarity, members):
    return np.mean([similarity[i, j] for i, j in combinations(members, 2)])


@pytest.mark.parametrize("cost", [0, 100, 1e9])  # all gathered, mixed, all products
def test_pair_means_are_means_over_pairs_however_they_are_computed(monkeypatch, cost):
    monkeypatch.setattr(moments, "GATHER_COST", cost)
    monkeypatch.setattr(moments, "GATHERED", 50)
    monkeypatch.setattr(moments, "PRODUCTS", 200)
    similarity, orders = symmetric(30, 1), random_orders(17, 25, 30, rng())
    sizes = [2, 3, 11, 25]
    expected = [[slow(similarity, order[:size]) for order in orders] for size in sizes]
    np.testing.assert_allclose(prefix_pair_means(similarity, orders, sizes), expected, atol=1e-12)
    np.testing.assert_allclose(pair_means(similarity, orders[:, :11]), expected[2], atol=1e-12)


def test_random_orders_do_not_depend_on_how_many_units_are_asked_for():
    long, short = (random_orders(50, n, 40, rng(2)) for n in (40, 7))
    np.testing.assert_array_equal(long[:, :7], short)
    assert (np.sort(long, axis=1) == np.arange(40)).all()
    counts = np.zeros((4, 4))
    for place in range(4):
        counts[place] = np.bincount(random_orders(40_000, 4, 4, rng(3))[:, place], minlength=4)
    assert np.abs(counts / 10_000 - 1).max() < 0.05


def batched_and_single(strength, m, n_units=60):
    similarity = symmetric(n_units, 4)
    sets = {f"set {n} {k}": rng(100 * n + k).choice(n_units, n, False) for n in (2, 5, 20) for k in range(3)}
    batched = coherence_tests(similarity, sets, strength, m, seeded)
    return batched, {name: coherence(similarity, each, strength, m, seeded(name)) for name, each in sets.items()}


@pytest.mark.parametrize("strength", [None, rng(5).lognormal(size=60)])
def test_each_of_many_tests_is_the_single_test_up_to_its_draws(strength):
    batched, single = batched_and_single(strength, 8000)
    assert list(batched) == list(single)
    for name, one in single.items():
        found = batched[name]
        for field in ("estimate", "p_min", "p_min_stratified", "p_tail", "unit_sd"):
            assert getattr(found, field) == pytest.approx(getattr(one, field), rel=1e-9, nan_ok=True), field
        assert (found.p_used, found.n_permutations, found.note) == (one.p_used, one.n_permutations, one.note)
        assert found.p == pytest.approx(one.p, abs=0.03)
        assert found.p_stratified == pytest.approx(one.p_stratified, abs=0.06, nan_ok=True)
        assert found.null_mean == pytest.approx(one.null_mean, abs=0.1 * one.null_sd)
        assert found.null_sd == pytest.approx(one.null_sd, rel=0.08)


def test_sets_with_few_arrangements_are_visited_exactly():
    similarity = symmetric(9, 6)
    found = coherence_tests(similarity, {"a": [0, 1, 2], "b": [3, 4]}, None, 100, seeded)
    for name, members in (("a", [0, 1, 2]), ("b", [3, 4])):
        null = np.array([slow(similarity, each) for each in combinations(range(9), len(members))])
        assert found[name].p == np.mean(null >= slow(similarity, members) - 1e-12)
        assert (found[name].n_permutations, found[name].p_min) == (0, 1 / comb(9, len(members)))


def test_a_test_depends_neither_on_other_sets_nor_on_threads():
    similarity, strength = cosine_similarity(rng(7).normal(size=(120, 9))), rng(8).random(120)
    sets = {"small": [3, 50, 7], "large": rng(9).choice(120, 70, False), "other": [1, 2, 3, 4, 5]}
    one = coherence_tests(similarity, sets, strength, 1500, seeded)
    threaded = coherence_tests(similarity, sets, strength, 1500, seeded, threads=3)
    alone = coherence_tests(similarity, {"other": sets["other"]}, strength, 1500, seeded)["other"]
    assert one == threaded
    assert alone.p == one["other"].p
    assert alone.p_stratified == one["other"].p_stratified


def test_p_values_of_many_sets_of_a_size_are_uniform():
    similarity = cosine_similarity(rng(10).normal(size=(150, 12)))
    sets = {f"{k}": rng(1000 + k).choice(150, 6, False) for k in range(600)}
    p = [test.p for test in coherence_tests(similarity, sets, None, 999, seeded).values()]
    assert ks_2samp(p, (np.arange(1000) + 1) / 1000).pvalue > 0.001


def test_no_sets_are_no_tests_and_names_are_needed():
    assert coherence_tests(symmetric(9, 1), {}, None, 99, seeded) == {}
    with pytest.raises(ValueError, match="name for every set"):
        coherence_tests(symmetric(9, 1), {"": [0, 1]}, None, 99, seeded)
    with pytest.raises(ValueError, match="two members"):
        coherence_tests(symmetric(9, 1), {"a": [1, 1]}, None, 99, seeded)


def test_a_program_without_a_matched_null_says_so():
    test = coherence_tests(symmetric(25, 1), {"a": [20, 21, 23, 24]}, np.arange(25.0), 999, seeded)["a"]
    assert (test.p_used, test.note) == ("p", "strength not separable")
    assert isnan(test.p_stratified)
