import numpy as np
import pytest
from scipy.stats import spearmanr

from pertprobe.statistics.ranks import mid_ranks, rank_scores
from pertprobe.statistics.similarity import centred, cosine_similarity, over_spread, spearman_matrix


def rng(seed=0):
    return np.random.default_rng(seed)


def slow_spearman(a, b, a_outputs, b_outputs, left_out=()):
    """Drop the outputs, then scipy, pair by pair."""
    result = np.full((len(a), len(b)), np.nan)
    for i, j in np.ndindex(result.shape):
        keep = [g for g in range(a.shape[1]) if g not in {a_outputs[i], b_outputs[j], *left_out}]
        x, y = a[i, keep], b[j, keep]
        if np.ptp(x) > 0 and np.ptp(y) > 0:
            result[i, j] = spearmanr(x, y).statistic
    return result


@pytest.mark.parametrize("left_out", [(), (0, 3, 9)])
def test_spearman_matrix_is_scipys_on_what_remains(left_out):
    generator = rng(1)
    a, b = generator.integers(0, 6, (7, 15)).astype(float), generator.normal(size=(8, 15)).round(1)
    a_outputs, b_outputs = np.array([0, 1, 2, 3, -1, 5, 5]), np.array([0, 9, 2, -1, 4, 5, 14, 14])
    a[6], b[4] = 2.0, 0.0
    b[5] = np.eye(15)[5]  # constant once its own gene is left out
    result = spearman_matrix(a, b, a_outputs, b_outputs, left_out)
    expected = slow_spearman(a, b, a_outputs, b_outputs, left_out)
    np.testing.assert_allclose(result, expected, atol=1e-12)
    assert np.isnan(result[6]).all()
    assert np.isnan(result[:, [4, 5]]).all()


def test_spearman_matrix_transposes_with_its_arguments():
    a, b = rng(2).normal(size=(5, 12)), rng(3).normal(size=(6, 12))
    one = spearman_matrix(a, b, np.arange(5), np.arange(6))
    np.testing.assert_allclose(one, spearman_matrix(b, a, np.arange(6), np.arange(5)).T, atol=1e-12)
    np.testing.assert_allclose(one, spearman_matrix(np.exp(a), b**3, np.arange(5), np.arange(6)), atol=1e-12)


def test_cosine_of_a_zero_profile_is_zero():
    similarity = cosine_similarity(np.array([[0.0, 0.0], [3.0, 4.0], [-6.0, -8.0], [1e-200, 0.0]]))
    assert similarity[0].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(similarity[1], [0, 1, -1, 0.6])


def test_centring_removes_what_all_share():
    profiles = rng(4).normal(size=(6, 3))
    np.testing.assert_allclose(centred(profiles + 100.0), centred(profiles), atol=1e-12)
    np.testing.assert_allclose(centred(profiles).mean(axis=0), 0, atol=1e-15)


def test_mid_ranks_by_hand():
    values = np.array([[3.0, 1.0], [1.0, 1.0], [1.0, np.nan], [9.0, 2.0]])
    left_out = np.array([[False, False], [False, False], [False, False], [True, False]])
    np.testing.assert_allclose(
        mid_ranks(values, left_out), [[2.5 / 3, 0.5 / 3 + 0.5 / 3], [1 / 3, 1 / 3], [1 / 3, np.nan], [np.nan, 2.5 / 3]]
    )


def test_rank_scores_leave_out_pairs_of_the_knocked_gene_and_drop_who_has_too_few():
    pairs = [("R1", "T1"), ("R1", "T2"), ("R2", "T1")]
    values = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [99.0, 99.0, 2.0], [3.0, 99.0, 3.0]])
    result = rank_scores(values, ["A", "B", "R1", "T2"], pairs)
    ranks_1, ranks_2, ranks_3 = (
        [1 / 6, 3 / 6, np.nan, 5 / 6],
        [1 / 4, 3 / 4, np.nan, np.nan],
        [1 / 8, 3 / 8, 5 / 8, 7 / 8],
    )
    expected = np.nanmean([ranks_1, ranks_2, ranks_3], axis=0)
    expected[2] = np.nan
    np.testing.assert_allclose(result, expected)


def test_rank_scores_see_only_the_order_of_values():
    values, names = rng(5).normal(size=(20, 6)), [f"g{i}" for i in range(20)]
    pairs = [(f"g{i}", f"h{i}") for i in range(6)]
    np.testing.assert_array_equal(rank_scores(values, names, pairs), rank_scores(np.exp(values), names, pairs))


def slow_over_spread(pairs):
    """Pair by pair; a unit has no pair with itself."""
    n = len(pairs)
    spread = [np.sqrt(np.mean([pairs[i, j] ** 2 for j in range(n) if j != i])) for i in range(n)]
    return np.array([[0 if i == j else pairs[i, j] / (spread[i] * spread[j]) for j in range(n)] for i in range(n)])


def test_pairs_over_the_spread_of_their_units():
    pairs = rng(4).normal(size=(9, 9))
    pairs = pairs + pairs.T
    found = over_spread(pairs)
    np.testing.assert_allclose(found, slow_over_spread(pairs), rtol=1e-12)
    np.testing.assert_allclose(over_spread(5 * pairs) * 5, found, rtol=1e-12)
    order = rng(5).permutation(9)
    np.testing.assert_allclose(over_spread(pairs[np.ix_(order, order)]), found[np.ix_(order, order)], rtol=1e-12)


def test_a_unit_whose_pairs_are_all_zero_keeps_them():
    pairs = np.ones((4, 4))
    pairs[1] = pairs[:, 1] = 0.0
    assert (over_spread(pairs)[1] == 0).all()
    assert np.isfinite(over_spread(np.zeros((3, 3)))).all()
    assert over_spread(np.ones((1, 1))).tolist() == [[0.0]]
