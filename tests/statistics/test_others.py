from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, pearsonr, spearmanr

from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.power import benjamini_hochberg
from pertprobe.statistics.published import random_sets_p, rank_sum_pairs, rank_sum_triples
from pertprobe.statistics.reliability import bootstrap_coherence, bootstrap_mean


def rng(seed=0):
    return np.random.default_rng(seed)


def symmetric(n, seed):
    values = rng(seed).normal(size=(n, n))
    return (values + values.T) / 2


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
def test_exact_mantel_is_that_of_all_relabellings(correlation):
    a, b = symmetric(5, 1), symmetric(5, 2)
    upper, function = np.triu_indices(5, 1), {"pearson": pearsonr, "spearman": spearmanr}[correlation]
    null = [function(a[upper], b[np.ix_(pi, pi)][upper]).statistic for pi in permutations(range(5))]
    test = mantel(a, b, 120, rng(), correlation)
    assert test.estimate == pytest.approx(null[0])
    assert test.p == pytest.approx(np.mean(np.array(null) >= null[0] - 1e-12))
    assert test.null_sd == pytest.approx(np.std(null))
    assert (test.n_permutations, test.p_min) == (0, 1 / 120)


def test_mantel_is_symmetric_and_blind_to_scale_and_diagonal():
    a, b = symmetric(6, 3), symmetric(6, 4)
    one, other = mantel(a, b, 720, rng()), mantel(5 * b + 1 + 9 * np.eye(6), a, 720, rng())
    assert one.estimate == pytest.approx(other.estimate)
    assert one.p == other.p
    assert mantel(a, b, 500, rng()).p == pytest.approx(one.p, abs=0.09)


def test_mantel_finds_agreement_and_a_constant_matrix_has_none():
    a = symmetric(20, 5)
    assert mantel(a, a + 0.1 * symmetric(20, 6), 199, rng()).p == 1 / 200
    constant = mantel(a, np.full((20, 20), 0.3), 199, rng())
    assert (constant.estimate, constant.p) == (0.0, 1.0)
    with pytest.raises(ValueError, match="shared perturbations"):
        mantel(a, symmetric(19, 1), 9, rng())


def slow_bootstrap_coherence(similarity, draws):
    pairs = combinations(draws, 2)
    return np.mean([similarity[i, j] for i, j in pairs if i != j])


def test_bootstrap_leaves_out_pairs_of_a_perturbation_with_itself():
    similarity, members = symmetric(12, 7), [1, 2, 3, 5, 6, 8, 9, 10]
    low, high = bootstrap_coherence(similarity, members, 4000, rng(1))
    slow = [slow_bootstrap_coherence(similarity, rng(s).choice(members, 8)) for s in range(4000)]
    np.testing.assert_allclose([low, high], np.quantile(slow, [0.025, 0.975]), atol=0.05)


def test_bootstrap_is_centred_where_the_naive_one_is_not():
    similarity = np.full((9, 9), 0.18)
    np.fill_diagonal(similarity, 1.0)
    assert bootstrap_coherence(similarity, range(9), 500, rng()) == pytest.approx((0.18, 0.18))
    assert bootstrap_coherence(similarity, range(5), 500, rng()) == pytest.approx((0.18, 0.18))  # jackknife
    naive = [similarity[np.ix_(d, d)][np.triu_indices(5, 1)].mean() for d in rng().integers(5, size=(4000, 5))]
    assert np.mean(naive) == pytest.approx(0.34, abs=0.01)


def test_intervals_of_the_mean():
    values = rng(8).normal(size=5)
    half = 2.776445 * values.std(ddof=1) / np.sqrt(5)
    assert bootstrap_mean(values, 99, rng()) == pytest.approx((values.mean() - half, values.mean() + half))
    many = rng(9).normal(size=400)
    np.testing.assert_allclose(
        bootstrap_mean(many, 4000, rng()), many.mean() + np.array([-1.96, 1.96]) * many.std() / 20, atol=0.01
    )
    assert np.isnan(bootstrap_mean(values[:1], 99, rng())).all()
    assert np.isnan(bootstrap_coherence(np.eye(2), [0, 1], 99, rng())).all()


@pytest.mark.parametrize(("n", "level"), [(6, 0.95), (12, 0.95)])
def test_intervals_cover(n, level):
    generator, covered = rng(10), 0
    for _ in range(400):
        low, high = bootstrap_mean(generator.normal(size=n), 299, generator, level)
        covered += low <= 0 <= high
    assert covered / 400 >= 0.88


def test_benjamini_hochberg_by_hand_and_nan_counts_for_none():
    np.testing.assert_allclose(benjamini_hochberg([0.01, np.nan, 0.04, 0.03]), [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(benjamini_hochberg([np.nan])).all()


def test_published_statistics_are_those_of_the_notebook():
    similarity, members = symmetric(10, 11), [2, 4, 7]
    within = [similarity[i, j] for i, j in combinations(members, 2)]
    others = [similarity[i, j] for i, j in combinations(range(10), 2) if not {i, j} <= set(members)]
    expected = mannwhitneyu(within, others, alternative="greater", method="asymptotic").pvalue
    assert rank_sum_pairs(similarity, members).p == pytest.approx(expected)
    assert rank_sum_triples([2.0, 3.0], [0.0, 1.0, 1.5]).p < rank_sum_triples([0.0, 1.0], [2.0, 3.0, 1.5]).p
    assert np.isnan(rank_sum_triples([], [1.0]).p)
    block = np.eye(40)
    block[:4, :4] = 1.0
    found = random_sets_p(block, range(4), rng())
    assert found.p == 1 / 5001
    assert found.estimate == pytest.approx(1.0, abs=0.02)


def test_pairs_tested_as_if_independent_pass_too_often():
    """Why published p-values are never a verdict's: shared perturbations make pairs dependent."""
    generator, hits = rng(12), 0
    for _ in range(60):
        profiles = generator.normal(size=(60, 20)) + generator.lognormal(size=(60, 1)) * generator.normal(size=20)
        similarity = np.corrcoef(profiles)
        hits += rank_sum_pairs(similarity, generator.choice(60, 20, replace=False)).p < 0.05
    assert hits / 60 > 0.12
