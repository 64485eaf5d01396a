"""Laws that hold whatever the numbers: symmetry, scale, order of units; the numbers are hypothesis's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control

from pertprobe.statistics.clusters import adjusted_rand, same_cluster
from pertprobe.statistics.excess import half_width
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.moments import pair_means
from pertprobe.statistics.pooling import bayes_factor
from pertprobe.statistics.power import Null, benjamini_hochberg, interval, power, smallest_effect
from pertprobe.statistics.ranks import average_ranks, mid_ranks
from pertprobe.statistics.recovery import average_precision
from pertprobe.statistics.reliability import pair_contributions
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix, without_shared

QUICK = settings(max_examples=40, deadline=None, derandomize=True)
NUMBERS = st.floats(-100, 100, width=32).map(lambda x: round(x, 3))
PROFILES = st.tuples(st.integers(2, 8), st.integers(2, 9)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=NUMBERS)
)
SEEDS = st.integers(0, 2**32 - 1)
FACTORS = st.sampled_from([1e-6, 0.5, 3.0, 1e6])


@QUICK
@given(PROFILES, FACTORS)
def test_cosines_are_symmetric_bounded_and_know_no_scale(profiles, factor):
    found = cosine_similarity(profiles)
    np.testing.assert_array_equal(found, found.T)
    assert (np.abs(found) <= 1).all()
    np.testing.assert_allclose(np.diag(found), (profiles != 0).any(axis=1), atol=1e-12)
    np.testing.assert_allclose(cosine_similarity(factor * profiles), found, atol=1e-9)
    np.testing.assert_allclose(cosine_similarity(-profiles), found, atol=1e-12)


@QUICK
@given(PROFILES, SEEDS)
def test_cosines_move_with_their_units_and_forget_the_order_of_features(profiles, seed):
    rng = np.random.default_rng(seed)
    units, features = rng.permutation(len(profiles)), rng.permutation(profiles.shape[1])
    found = cosine_similarity(profiles)
    np.testing.assert_allclose(cosine_similarity(profiles[units]), found[np.ix_(units, units)], atol=1e-12)
    np.testing.assert_allclose(cosine_similarity(profiles[:, features]), found, atol=1e-12)


@QUICK
@given(PROFILES)
def test_what_all_share_is_removed_once_and_for_all(profiles):
    for remove in (centred, without_shared):
        once = remove(profiles)
        np.testing.assert_allclose(once.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(centred(once), once, atol=1e-9)
    np.testing.assert_allclose(centred(profiles + profiles[:1]), centred(profiles), atol=1e-9)


@QUICK
@given(arrays(np.float64, st.integers(1, 12), elements=NUMBERS), FACTORS)
def test_ranks_know_order_alone(values, factor):
    ranks = average_ranks(values)
    assert ranks.sum() == len(values) * (len(values) + 1) / 2
    np.testing.assert_array_equal(average_ranks(factor * values), ranks)
    np.testing.assert_array_equal(average_ranks(-values), len(values) + 1 - ranks)


@QUICK
@given(PROFILES, SEEDS)
def test_mid_ranks_have_the_mean_one_half_whatever_is_left_out(values, seed):
    left_out = np.random.default_rng(seed).random(values.shape) < 0.3
    ranks = mid_ranks(values, left_out)
    assert (np.isnan(ranks) == left_out).all()
    ranked = ~left_out.all(axis=0)
    np.testing.assert_allclose(np.nanmean(ranks[:, ranked], axis=0), 0.5)


@QUICK
@given(PROFILES, PROFILES, SEEDS)
def test_correlations_of_ranks_transpose_and_are_bounded(a, b, seed):
    width, rng = min(a.shape[1], b.shape[1]), np.random.default_rng(seed)
    a, b = a[:, :width], b[:, :width]
    own_a, own_b = rng.integers(-1, width, len(a)), rng.integers(-1, width, len(b))
    found = spearman_matrix(a, b, own_a, own_b)
    np.testing.assert_allclose(found, spearman_matrix(b, a, own_b, own_a).T, atol=1e-9)
    assert (np.abs(found[~np.isnan(found)]) <= 1 + 1e-9).all()
    np.testing.assert_allclose(spearman_matrix(-a, b, own_a, own_b), -found, atol=1e-9)


def slow_benjamini_hochberg(p):
    """min over the p that are no smaller, of p n / rank, one by one."""
    ordered = sorted(p)
    return [min(1.0, min(len(p) * ordered[k] / (k + 1) for k in range(len(p)) if ordered[k] >= each)) for each in p]


@QUICK
@given(st.lists(st.floats(0, 1).map(lambda p: round(p, 3)), min_size=1, max_size=12), SEEDS)
def test_q_is_at_least_p_keeps_order_and_moves_with_its_tests(p, seed):
    q = benjamini_hochberg(p)
    np.testing.assert_allclose(q, slow_benjamini_hochberg(p), atol=1e-12)
    np.testing.assert_allclose(q, false_discovery_control(p), atol=1e-12)
    assert (q >= np.array(p) - 1e-12).all()
    assert (np.diff(q[np.argsort(p)]) >= -1e-12).all()
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)[order]), q[order])


SPREADS = st.floats(0.05, 3)


@QUICK
@given(SPREADS, SPREADS, st.floats(-1, 1), st.floats(0.001, 0.2), st.floats(0.1, 3), FACTORS)
def test_power_rises_with_effect_and_level_and_knows_no_unit(unit_sd, null_sd, skewness, alpha, d, factor):
    null = Null(unit_sd, null_sd, skewness)
    found = power(null, alpha, d)
    assert 0 <= found <= 1
    assert power(null, alpha, d + 0.5) >= found - 1e-9
    assert power(null, alpha * 1.5, d) >= found - 1e-9
    np.testing.assert_allclose(power(Null(factor * unit_sd, factor * null_sd, skewness), alpha, d), found, atol=1e-9)
    np.testing.assert_allclose(power(null, alpha, 0.0), alpha, atol=1e-6)


@QUICK
@given(SPREADS, SPREADS, st.floats(-1, 1), st.floats(0.001, 0.2), st.floats(0.3, 0.95))
def test_the_smallest_effect_has_the_power_that_was_wanted(unit_sd, null_sd, skewness, alpha, wanted):
    null = Null(unit_sd, null_sd, skewness)
    np.testing.assert_allclose(power(null, alpha, smallest_effect(null, alpha, wanted)), wanted, atol=1e-3)


@QUICK
@given(NUMBERS, SPREADS, st.floats(-1, 1), FACTORS)
def test_an_interval_holds_its_effect_and_scales_with_it(effect, null_sd, skewness, factor):
    low, high = interval(effect, null_sd, skewness)
    assert low < effect < high
    wider = interval(effect, null_sd, skewness, 0.99)
    assert wider[0] < low < high < wider[1]
    np.testing.assert_allclose(interval(factor * effect, factor * null_sd, skewness), (factor * low, factor * high))
    turned = interval(-effect, null_sd, -skewness)
    np.testing.assert_allclose(turned, (-high, -low), atol=1e-9)


@QUICK
@given(arrays(np.float64, st.integers(2, 10), elements=NUMBERS), SEEDS, FACTORS)
def test_the_width_of_a_difference_is_symmetric_and_scales(ours, seed, factor):
    theirs = np.random.default_rng(seed).normal(size=len(ours))
    found = half_width(ours, theirs)
    assert found >= 0
    np.testing.assert_allclose(half_width(theirs, ours), found)
    np.testing.assert_allclose(half_width(factor * ours, factor * theirs), factor * found, rtol=1e-6)
    assert half_width(ours, theirs, level=0.99) >= found
    assert half_width(ours, ours) == 0


@QUICK
@given(st.floats(0.01, 1), st.floats(0.05, 1))
def test_a_factor_of_bayes_grows_with_the_share_and_knows_no_sign(share, error):
    found = bayes_factor(share, share - error, share + error)
    np.testing.assert_allclose(bayes_factor(-share, -share - error, -share + error), found)
    assert bayes_factor(1.5 * share, 1.5 * share - error, 1.5 * share + error) >= found
    assert bayes_factor(0.0, -error, error) < 1


@QUICK
@given(st.lists(st.integers(0, 3), min_size=3, max_size=12), SEEDS)
def test_clusters_agree_by_what_is_together_not_by_name(labels, seed):
    rng, labels = np.random.default_rng(seed), np.array(labels)
    renamed, other = rng.permutation(4)[labels], rng.integers(0, 3, len(labels))
    np.testing.assert_allclose(adjusted_rand(labels, other), adjusted_rand(other, labels))
    np.testing.assert_allclose(adjusted_rand(renamed, other), adjusted_rand(labels, other))
    np.testing.assert_array_equal(same_cluster(renamed), same_cluster(labels))
    assert len(set(labels)) in (1, len(labels)) or adjusted_rand(labels, renamed) == 1


@QUICK
@given(arrays(bool, st.integers(2, 15)), SEEDS, FACTORS)
def test_precision_knows_the_order_of_scores_alone(known, seed, factor):
    rng = np.random.default_rng(seed)
    scores, order = rng.permutation(len(known)).astype(float), rng.permutation(len(known))
    found = average_precision(known[None], scores[None], np.array([-1]))
    again = average_precision(known[order][None], factor * scores[order][None], np.array([-1]))
    np.testing.assert_allclose(again, found)


@QUICK
@given(PROFILES, SEEDS)
def test_means_of_pairs_are_those_of_a_loop_and_halves_of_contributions(profiles, seed):
    similarity = cosine_similarity(profiles)
    rng = np.random.default_rng(seed)
    members = rng.permutation(len(profiles))[: rng.integers(2, len(profiles) + 1)]
    pairs = [similarity[i, j] for i in members for j in members if i < j]
    (found,) = pair_means(similarity, members[None])
    np.testing.assert_allclose(found, np.mean(pairs), atol=1e-9)
    if len(members) > 2:  # of two there is nothing without the one
        np.testing.assert_allclose(pair_contributions(similarity, members).mean(), found, atol=1e-9)


@QUICK
@given(st.integers(4, 7), SEEDS, FACTORS)
def test_mantel_is_symmetric_and_knows_no_scale(n, seed, factor):
    rng = np.random.default_rng(seed)
    a, b = (cosine_similarity(rng.normal(size=(n, 5))) for _ in range(2))
    found = mantel(a, b, m=19, rng=np.random.default_rng(0)).estimate
    np.testing.assert_allclose(mantel(b, a, m=19, rng=np.random.default_rng(0)).estimate, found, atol=1e-9)
    np.testing.assert_allclose(mantel(factor * a, b, m=19, rng=np.random.default_rng(0)).estimate, found, atol=1e-9)
    assert -1 - 1e-9 <= found <= 1 + 1e-9
