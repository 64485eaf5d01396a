from itertools import product

import numpy as np
import pytest

from pertprobe.statistics.matched import _assignments, _borrowed, _injective, paired_profile_test


def rng(seed=0):
    return np.random.default_rng(seed)


def slow_contrast(r, members, candidates, partners):
    terms = []
    for i, choice, partner in zip(members, candidates, partners, strict=True):
        terms.append(r[i, partner] - np.mean([r[i, j] for j in choice if j != partner]))
    return np.mean(terms)


def test_exact_program_test_is_that_of_all_assignments():
    r, deciles, members = rng(1).normal(size=(12, 12)), np.arange(12) % 3, [0, 3, 4]
    candidates = [[i, *[j for j in range(12) if deciles[j] == deciles[i] and j not in members]] for i in members]
    null = [slow_contrast(r, members, candidates, pi) for pi in product(*candidates) if len(set(pi)) == 3]
    result = paired_profile_test(r, deciles, 9999, rng(), members)
    estimate = slow_contrast(r, members, candidates, members)
    assert result.test.estimate == pytest.approx(estimate)
    assert result.test.p == pytest.approx(np.mean(np.array(null) >= estimate - 1e-12))
    assert result.test.p_min == pytest.approx(1 / len(null))
    assert result.matched == pytest.approx(r[members, members].mean())
    assert result.matched - result.partners == pytest.approx(estimate)


def test_sampled_test_tends_to_the_exact_one():
    r, deciles, members = rng(2).normal(size=(14, 14)), np.arange(14) % 2, [0, 1, 2, 3]
    exact, sampled = (paired_profile_test(r, deciles, m, rng(), members).test for m in (10_000, 600))
    assert exact.n_permutations == 0 < sampled.n_permutations
    assert abs(exact.p - sampled.p) < 4 * np.sqrt(0.25 / 600)
    assert sampled.null_mean == pytest.approx(exact.null_mean, abs=0.12)


def test_assignments_are_counted_and_drawn_uniformly():
    own, others = np.array([0, 1, 2]), np.array([7, 8])
    expected = list(_injective([np.array([i, 7, 8]) for i in own]))
    assert len(expected) == _assignments(3, 2)
    drawn, counts = np.unique(_borrowed(np.tile(own, (26_000, 1)), others, rng()), axis=0, return_counts=True)
    assert {tuple(row) for row in drawn.tolist()} == set(expected)
    assert np.abs(counts / 26_000 * len(expected) - 1).max() < 0.1


def test_all_genes_are_permuted_within_deciles():
    r, deciles = rng(3).normal(size=(7, 7)), np.array([0, 0, 0, 1, 1, 1, 1])
    exact = paired_profile_test(r, deciles, 9999, rng())
    sampled = paired_profile_test(r, deciles, 143, rng())
    assert exact.test.p_min == 1 / (6 * 24)
    assert sampled.test.n_permutations == 143
    assert sampled.test.p == pytest.approx(exact.test.p, abs=0.15)


def test_agreement_is_found_and_constant_profiles_are_counted():
    r, deciles = 0.1 * rng(4).normal(size=(60, 60)), np.arange(60) % 5
    np.fill_diagonal(r, 0.8)
    r[7], r[:, 7] = np.nan, np.nan
    r[20] = np.nan
    result = paired_profile_test(r, deciles, 999, rng(), [5, 6, 7, 8, 9, 10])
    assert (result.test.p, result.n_constant, result.genes.tolist()) == (1 / 1000, 1, [5, 6, 8, 9, 10])
    assert result.matched == pytest.approx(0.8)
    assert paired_profile_test(r, deciles, 999, rng()).n_constant == 2


def test_unit_sd_is_that_of_genes_outside_the_program_and_ties_are_counted():
    r, deciles, members = rng(7).normal(size=(14, 14)), np.array([0] * 6 + [1] * 7 + [2]), [0, 1, 7]
    scores = []
    for j in [j for j in range(13) if j not in members]:  # gene 13 has no partner
        partners = [k for k in range(13) if k not in members and k != j and deciles[k] == deciles[j]]
        scores.append(r[j, j] - np.mean(r[j, partners]))
    assert paired_profile_test(r, deciles, 99, rng(), members).test.unit_sd == pytest.approx(np.std(scores, ddof=1))
    everyone = paired_profile_test(np.ones((9, 9)), np.zeros(9), 99, rng()).test
    assert (everyone.p, everyone.p_tie) == (1.0, 1.0)
    assert np.isnan(everyone.unit_sd)


def test_genes_without_a_partner_are_counted_and_none_left_is_no_test():
    r = rng(5).normal(size=(6, 6))
    result = paired_profile_test(r, np.array([0, 1, 1, 1, 1, 1]), 99, rng(), [0, 1])
    assert (result.genes.tolist(), result.n_without_partner) == ([1], 1)
    empty = paired_profile_test(r, np.arange(6), 99, rng(), [0, 1])
    assert empty.genes.size == 0
    assert np.isnan(empty.test.p)


def test_profiles_that_agree_no_more_with_themselves_are_held_to_five_percent():
    generator, hits = rng(6), 0
    for _ in range(400):
        r = generator.normal(size=(40, 40)) + generator.normal(size=(40, 1)) + generator.normal(size=40)
        hits += paired_profile_test(r, np.arange(40) % 4, 199, generator, range(6)).test.p <= 0.05
    assert hits <= 34  # 99.9 % of a binomial at 0.05
