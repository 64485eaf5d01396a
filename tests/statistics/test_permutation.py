from itertools import combinations, product
from math import comb, isnan

import numpy as np
import pytest
from scipy.stats import binom, kstest

from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.permutation import mean_score, randomised
from pertprobe.statistics.sets import pairs_without_strength, scores_without_strength, strength_windows, uniform_sets
from pertprobe.statistics.similarity import centred, cosine_similarity


def symmetric(n, seed):
    values = np.random.default_rng(seed).normal(size=(n, n))
    return (values + values.T) / 2


def rng(seed=0):
    return np.random.default_rng(seed)


def slow_matched_sets(members, strength, window):
    """Every set that some assignment of members to distinct units in their windows gives, by brute force."""
    ranks = np.argsort(np.argsort(strength))
    start = np.clip(ranks - window // 2, 0, len(strength) - window)
    choices = [[u for u in range(len(strength)) if start[i] <= ranks[u] < start[i] + window] for i in members]
    return {frozenset(choice) for choice in product(*choices) if len(set(choice)) == len(choice)}


def test_uniform_sets_are_all_sets_where_there_are_few():
    sets = uniform_sets(3, 7, 35, rng())
    assert {tuple(row) for row in sets} == set(combinations(range(7), 3))


def test_uniform_sets_hold_distinct_units_equally_often():
    sets = uniform_sets(4, 12, 400, rng())
    assert sets.shape == (400, 4)
    assert all(len(set(row)) == 4 for row in sets)


@pytest.mark.parametrize(("n_members", "n_units"), [(4, 60), (20, 60)])  # drawn again until distinct; random orders
def test_drawn_uniform_sets_hold_every_unit_and_every_pair_equally_often(n_members, n_units):
    m = 120_000 // n_members
    sets = uniform_sets(n_members, n_units, m, rng())
    assert (np.diff(np.sort(sets, axis=1), axis=1) > 0).all()
    shares = np.bincount(sets.ravel(), minlength=n_units) / m / (n_members / n_units)
    assert np.abs(shares - 1).max() < 0.1
    inside = np.zeros((m, n_units))
    np.put_along_axis(inside, sets, 1.0, axis=1)
    pairs = (inside.T @ inside)[np.triu_indices(n_units, 1)] / m
    expected = comb(n_members, 2) / comb(n_units, 2)
    assert np.abs(pairs - expected).max() < 5.5 * np.sqrt(expected / m)


@pytest.mark.parametrize("members", [[0, 1, 2, 3], [17, 4, 9, 12], [22, 23, 21, 5], [19, 18, 20, 17]])
def test_matched_sets_are_counted_and_drawn_as_by_brute_force(members):
    strength = rng(5).permutation(24) ** 2.0
    matched = strength_windows(members, strength)
    expected = slow_matched_sets(members, strength, matched.window)
    assert round(matched.arrangements) == len(expected) >= 1000
    assert len(slow_matched_sets(members, strength, matched.window - 1)) < 1000
    drawn, counts = np.unique(np.sort(matched.draw(60_000, rng()), axis=1), axis=0, return_counts=True)
    assert {frozenset(row.tolist()) for row in drawn} == expected
    z = (counts - 60_000 / len(expected)) / np.sqrt(60_000 / len(expected))
    assert np.abs(z).max() < 5.5


def test_a_block_among_the_six_strongest_of_25_has_no_matched_null_and_keeps_its_test():
    test = coherence(symmetric(25, 1), [20, 21, 23, 24], np.arange(25.0), 999, rng())
    assert (test.p_used, test.note, test.n_permutations) == ("p", "strength not separable", 999)
    assert isnan(test.p_stratified)
    assert test.p_min == 1 / 1000


def test_many_members_of_many_perturbations_are_matched_without_overflow():
    strength = rng(2).lognormal(size=2024)
    members = np.argsort(strength)[::5][-400:]
    matched = strength_windows(members, strength)
    assert matched.arrangements == np.inf
    assert all(len(set(row)) == 400 for row in matched.draw(50, rng()))


def test_exact_p_by_hand():
    similarity = np.zeros((5, 5))
    similarity[0, 1] = similarity[1, 0] = 0.5
    similarity[2, 3] = similarity[3, 2] = 0.5
    test = coherence(similarity, [0, 1], None, 99, rng())
    assert test.p == pytest.approx(2 / 10)  # the two equal pairs out of ten
    assert (test.estimate, test.null_mean, test.p_min, test.n_permutations) == (0.5, pytest.approx(0.1), 0.1, 0)


def test_program_of_all_perturbations_has_p_one():
    test = coherence(symmetric(4, 0), [0, 1, 2, 3], None, 99, rng())
    assert (test.p, test.p_min) == (1.0, 1.0)


def test_coherence_is_the_mean_over_pairs_and_its_null_that_of_all_sets():
    similarity = symmetric(9, 3)
    test = coherence(similarity, [1, 4, 6], None, 200, rng())

    def slow(members):
        return np.mean([similarity[i, j] for i, j in combinations(members, 2)])

    null = [slow(s) for s in combinations(range(9), 3)]
    assert test.estimate == pytest.approx(slow([1, 4, 6]))
    assert test.null_mean == pytest.approx(np.mean(null))
    assert test.null_sd == pytest.approx(np.std(null))
    assert test.p == np.mean(np.array(null) >= slow([1, 4, 6]) - 1e-12)


def test_sampled_p_tends_to_the_exact_p():
    similarity = symmetric(20, 8)
    exact = coherence(similarity, [2, 5, 11, 17], None, comb(20, 4), rng())
    sampled = coherence(similarity, [2, 5, 11, 17], None, comb(20, 4) - 1, rng())
    assert exact.n_permutations == 0 < sampled.n_permutations
    assert abs(exact.p - sampled.p) < 4 * np.sqrt(exact.p * (1 - exact.p) / 4844)
    assert sampled.null_mean == pytest.approx(exact.null_mean, abs=0.03)


def test_relabelling_and_scale_change_nothing():
    similarity, strength, members = symmetric(40, 4), rng(9).random(40), np.array([3, 8, 21, 30, 39])
    order = rng(1).permutation(40)
    place = np.argsort(order)
    first = coherence(similarity, members, strength, 4999, rng())
    moved = coherence(similarity[np.ix_(order, order)], place[members], strength[order], 4999, rng())
    scaled = coherence(7 * similarity, members, 100 * strength, 4999, rng())
    assert moved.estimate == pytest.approx(first.estimate)
    assert moved.p == pytest.approx(first.p, abs=0.03)
    assert moved.p_stratified == first.p_stratified  # drawn by rank, which names do not touch
    assert (scaled.p, scaled.p_stratified) == (first.p, first.p_stratified)
    assert scaled.null_sd == pytest.approx(7 * first.null_sd)


def test_repeated_and_reordered_members_are_one_program():
    similarity = symmetric(30, 4)
    one, other = (coherence(similarity, members, None, 500, rng()) for members in ([3, 8, 21], [21, 3, 8, 3]))
    assert one == other


def test_p_is_never_zero_and_reaches_p_min():
    similarity = np.eye(60)
    similarity[:6, :6] = 1.0
    test = coherence(similarity, range(6), np.arange(60.0)[::-1].copy(), 499, rng())
    assert test.p == test.p_min == 1 / 500
    assert test.p_stratified >= test.p_min_stratified > 0


def test_a_constant_profile_is_an_answer():
    test = coherence(np.zeros((60, 60)), [1, 20, 40], np.arange(60.0), 99, rng())
    assert (test.estimate, test.p, test.p_stratified) == (0.0, 1.0, 1.0)


def test_null_is_that_of_the_p_used():
    similarity, strength = symmetric(200, 6), rng(3).random(200)
    with_strength = coherence(similarity, [5, 50, 150, 170], strength, 999, rng())
    without = coherence(similarity, [5, 50, 150, 170], None, 999, rng())
    assert (with_strength.p_used, without.p_used, without.note) == ("p_stratified", "p", "")
    assert with_strength.p == without.p
    assert with_strength.null_mean != without.null_mean


def test_too_few_draws_to_reach_a_verdict_leave_strength_unseparated():
    test = coherence(symmetric(200, 6), [5, 50, 150, 170], rng(3).random(200), 19, rng())
    assert (test.p_min_stratified, test.p_used, test.note) == (1 / 20, "p", "strength not separable")


def test_mean_score_by_hand_with_unscored_units():
    scores = np.array([5.0, 4.0, 1.0, 0.0, np.nan])
    test = mean_score(scores, [0, 1, 4], None, 99, rng())
    assert test.estimate == 4.5
    assert test.p == pytest.approx(1 / comb(4, 2))
    assert test.null_mean == pytest.approx(2.5)


def test_questions_that_cannot_be_put_are_refused():
    with pytest.raises(ValueError, match="two members"):
        coherence(np.eye(5), [1, 1], None, 99, rng())
    with pytest.raises(ValueError, match="has a score"):
        mean_score(np.full(5, np.nan), [1], None, 99, rng())


@pytest.mark.parametrize(("n_units", "m"), [(8, 200), (30, 59)])  # exact, sampled
@pytest.mark.parametrize("matched", [False, True])
def test_randomised_p_is_uniform_though_scores_are_tied(n_units, m, matched):
    generator, p, plain = rng(n_units + matched), [], []
    for _ in range(800):
        scores, strength = generator.integers(0, 3, n_units).astype(float), generator.random(n_units)
        test = mean_score(scores, generator.choice(n_units, 3, False), strength if matched else None, m, generator)
        p.append(randomised(test, generator.random()))
        plain.append(getattr(test, test.p_used))
    assert kstest(p, "uniform").pvalue > 0.001
    if not matched:  # what strength explains is no whole number: it leaves few ties
        assert kstest(plain, "uniform").pvalue < 1e-6


def test_ties_by_hand():
    scores = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    exact = mean_score(scores, [0], None, 99, rng())
    assert (exact.p, exact.p_tie, randomised(exact, 1.0)) == (0.4, 0.4, 0.0)
    constant = coherence(np.zeros((60, 60)), [1, 20, 40], np.arange(60.0), 99, rng())
    assert (constant.p_stratified, constant.p_tie) == (1.0, 1.0)
    distinct = coherence(symmetric(60, 3), [1, 20, 40, 50], None, 499, rng())
    assert distinct.p_tie == 1 / 500
    assert randomised(distinct, 0.25) == distinct.p - 0.25 / 500


def test_unit_sd_is_that_of_scores_outside_the_program():
    scores, members = rng(1).normal(size=20), np.array([2, 5, 11])
    scores[[7, 8]] = np.nan
    outside = [i for i in range(20) if i not in {2, 5, 7, 8, 11}]
    assert mean_score(scores, members, None, 99, rng()).unit_sd == np.std(scores[outside], ddof=1)
    similarity = symmetric(20, 2)
    likeness = [np.mean([similarity[i, j] for j in members]) for i in range(20) if i not in members]
    assert coherence(similarity, members, None, 99, rng()).unit_sd == pytest.approx(np.std(likeness, ddof=1))
    assert isnan(coherence(symmetric(4, 0), [0, 1, 2], None, 99, rng()).unit_sd)


def test_matched_draws_are_scored_as_if_they_had_the_members_strength():
    """p_stratified, its mean and its spread by hand: what strength explains is that of the members in every draw."""
    similarity, strength, members = symmetric(200, 6), rng(3).random(200), np.array([5, 50, 150, 170])
    scores = similarity[0]
    residual, left = pairs_without_strength(similarity, strength), scores_without_strength(scores, strength)
    sets = strength_windows(members, strength).draw(20_000, rng(9))

    def mean_of_pairs(matrix, units):
        return np.mean([matrix[i, j] for i, j in combinations(units, 2)])

    pairs = np.array([mean_of_pairs(residual, each) for each in sets[:4000]])
    for test, null, own, estimate in (
        (
            coherence(similarity, members, strength, 20_000, rng()),
            pairs,
            mean_of_pairs(residual, members),
            mean_of_pairs(similarity, members),
        ),
        (
            mean_score(scores, members, strength, 20_000, rng()),
            left[sets].mean(axis=1),
            left[members].mean(),
            scores[members].mean(),
        ),
    ):
        assert test.estimate == pytest.approx(estimate)
        assert test.null_mean == pytest.approx(null.mean() + estimate - own, abs=0.1 * test.null_sd)
        assert test.null_sd == pytest.approx(null.std(), rel=0.05)
        assert test.p_stratified == pytest.approx(np.mean(null >= own), abs=0.04)


def test_the_same_generator_gives_the_same_test():
    similarity, strength = symmetric(100, 6), rng(3).random(100)
    assert coherence(similarity, [1, 2, 3], strength, 99, rng(4)) == coherence(
        similarity, [1, 2, 3], strength, 99, rng(4)
    )


def shares_below_5_percent(draws, n_members, strength_bias, seed, n_units=200):
    """Shares of programs without pathway signal that pass, unstratified and matched (one direction all share)."""
    generator, passed = rng(seed), np.zeros(2)
    for _ in range(draws):
        strength = generator.lognormal(0, 0.6, n_units)
        profiles = strength[:, None] * generator.normal(size=20) + generator.normal(size=(n_units, 20))
        norms = np.linalg.norm(profiles, axis=1)
        weights = norms**strength_bias
        members = generator.choice(n_units, n_members, replace=False, p=weights / weights.sum())
        test = coherence(cosine_similarity(centred(profiles)), members, norms, 199, generator)
        passed += [test.p <= 0.05, test.p_stratified <= 0.05]
    return passed / draws


def test_uniform_programs_are_held_to_five_percent():
    bound = binom.ppf(0.999, 600, 0.05) / 600
    assert (shares_below_5_percent(600, 6, 0, seed=11) <= bound).all()


@pytest.mark.parametrize("n_members", [5, 10, 30, 80])
def test_programs_of_strong_perturbations_fail_unstratified_and_hold_matched(n_members):
    unstratified, matched = shares_below_5_percent(400, n_members, 2, seed=100 + n_members)
    assert unstratified > 0.2
    assert matched <= binom.ppf(0.999, 400, 0.05) / 400


def test_scores_that_grow_with_strength_are_held_too():
    generator, hits = rng(21), np.zeros(2)
    for _ in range(400):
        strength = generator.lognormal(0, 0.6, 200)
        scores = strength / np.median(strength) + generator.normal(size=200)
        members = generator.choice(200, 30, replace=False, p=strength**2 / (strength**2).sum())
        test = mean_score(scores, members, strength, 199, generator)
        hits += [test.p <= 0.05, test.p_stratified <= 0.05]
    assert hits[0] / 400 > 0.5
    assert hits[1] <= binom.ppf(0.999, 400, 0.05)


def test_a_planted_program_is_found_by_the_matched_test():
    generator = rng(7)
    profiles = generator.normal(size=(200, 20))
    profiles[:5] += 1.5 * generator.normal(size=20)
    test = coherence(cosine_similarity(profiles), range(5), np.linalg.norm(profiles, axis=1), 999, generator)
    assert test.p_stratified <= 0.01


def test_what_is_held_may_be_made_in_another_way_and_its_ties_stay():
    strength = rng(1).lognormal(size=40)
    near = (symmetric(40, 2) > 0).astype(float)
    free = coherence(near, range(6), strength, 999, rng(3), adjusted=near)
    shifted = coherence(near, range(6), strength, 999, rng(3), adjusted=near - 0.1)
    trend_removed = coherence(near, range(6), strength, 999, rng(3))
    assert free.p_stratified == shifted.p_stratified
    assert free.p_tie == shifted.p_tie > 0.05 > trend_removed.p_tie  # of 15 pairs many have as many neighbours
