"""Clusters: the tree's cuts, enrichment, and agreement of two clusterings, each against a slow or a known version."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import hypergeom, kstest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score

from pertprobe.statistics.clusters import (
    adjusted_rand,
    enrichment,
    rand_test,
    same_cluster,
    ward_clusters,
)
from pertprobe.statistics.permutation import randomised
from pertprobe.statistics.similarity import cosine_similarity


def grouped(seed=0, groups=4, each=10, noise=0.3):
    """Return profiles in groups, each around a direction of its own."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(20, groups)))[0].T
    return np.repeat(centres, each, axis=0) + noise * rng.normal(size=(groups * each, 20)) / np.sqrt(20)


def test_planted_groups_are_the_clusters_and_the_silhouette_counts_them():
    similarity = cosine_similarity(grouped())
    for distance in ("chord", "cosine"):
        found = ward_clusters(similarity, "silhouette", distance)
        assert adjusted_rand(found, np.repeat(range(4), 10)) == 1.0
    np.testing.assert_array_equal(found, ward_clusters(similarity, 4))


@pytest.mark.parametrize("number", [2, 5, 15])
def test_a_cut_of_chord_distances_is_that_of_profiles_of_length_one(number):
    profiles = grouped(noise=2.0)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    slow = AgglomerativeClustering(number, linkage="ward").fit_predict(profiles)
    assert adjusted_rand(ward_clusters(cosine_similarity(profiles), number), slow) == 1.0


def test_the_silhouette_chosen_is_the_largest():
    similarity = cosine_similarity(grouped(noise=1.5))
    apart = np.sqrt(2 * np.clip(1 - similarity, 0, None))
    np.fill_diagonal(apart, 0)
    chosen = ward_clusters(similarity, "silhouette")
    others = [ward_clusters(similarity, k) for k in range(2, 31)]
    scores = [silhouette_score(apart, labels, metric="precomputed") for labels in others]
    assert silhouette_score(apart, chosen, metric="precomputed") == pytest.approx(max(scores))


def test_clusters_are_numbered_by_size_whatever_the_order_of_perturbations():
    profiles = np.concatenate([grouped(groups=3)[:12], grouped(groups=3)[20:25]])
    order = np.random.default_rng(1).permutation(len(profiles))
    found, turned = (ward_clusters(cosine_similarity(each), 3) for each in (profiles, profiles[order]))
    assert np.bincount(found).tolist() == [10, 5, 2]
    np.testing.assert_array_equal(found[order], turned)


def test_perturbations_that_do_nothing_are_one_cluster():
    assert ward_clusters(cosine_similarity(np.zeros((6, 3))), "silhouette").tolist() == [0] * 6
    profiles = np.concatenate([grouped(groups=2), np.zeros((12, 20))])
    assert ward_clusters(cosine_similarity(profiles), "silhouette").tolist() == [1] * 10 + [2] * 10 + [0] * 12


def test_same_cluster_is_a_similarity():
    assert same_cluster([0, 1, 0]).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_enrichment_counts_members_over_the_perturbations_tested():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    counts, p = enrichment(labels, [0, 6, 7, 8])
    assert counts.tolist() == [1, 3, 0]
    every = [sum(i in (6, 7, 8) for i in chosen) for chosen in combinations(range(10), 4)]
    assert p[1] == pytest.approx(np.mean(np.array(every) >= 3)) == hypergeom.sf(2, 10, 3, 4)
    assert p[2] == 1.0


def test_the_adjusted_rand_index_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.integers(4, size=(2, 30))
        assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))
    assert adjusted_rand([0, 0, 0], [1, 1, 1]) == adjusted_rand_score([0, 0, 0], [1, 1, 1]) == 1.0
    assert adjusted_rand([0, 0, 0, 0], [0, 1, 0, 1]) == adjusted_rand_score([0, 0, 0, 0], [0, 1, 0, 1]) == 0.0


def test_equal_clusterings_agree_beyond_chance_and_unrelated_ones_do_not():
    labels, rng = np.repeat(range(4), 10), np.random.default_rng(0)
    test = rand_test(labels, labels, np.arange(40.0), 199, rng)
    assert (test.estimate, test.p) == (1.0, 1 / 200)
    tests = [rand_test(labels, rng.permutation(labels), None, 99, rng) for _ in range(200)]
    assert kstest([randomised(each, rng.random()) for each in tests], "uniform").pvalue > 0.001


def test_clusterings_by_strength_alone_agree_unless_strength_is_held():
    rng = np.random.default_rng(3)
    tests = []
    for _ in range(100):
        strength = rng.lognormal(size=60)
        first, second = (np.digitize(strength * rng.lognormal(0, 0.3, 60), [0.5, 1, 2]) for _ in range(2))
        tests.append(rand_test(first, second, strength, 99, rng))
    assert np.mean([test.p < 0.05 for test in tests]) > 0.9
    assert np.mean([test.p_stratified < 0.05 for test in tests]) < 0.15
    assert {test.p_used for test in tests} == {"p_stratified"}


def test_few_perturbations_are_one_block_and_have_no_stratified_p():
    test = rand_test([0, 0, 1, 1], [0, 0, 1, 1], np.arange(4.0), 199, np.random.default_rng(0))
    assert test.p_used == "p"
    assert test.p == pytest.approx(8 / 24, abs=0.1)  # 8 of the 24 orders keep both pairs
