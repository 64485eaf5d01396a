"""Recovery of edges: fast paths against slow obvious ones, scikit-learn, and laws."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pertprobe.statistics.recovery import (
    average_precision,
    early_precision_ratio,
    pooled_early_precision,
    sign_agreement,
)

N, U = 7, 23
OWN = np.array([0, 4, 9, -1, 11, 22, 3])


def world(seed, levels=None):
    """Return edges, scores and signs; scores of few levels have many ties."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(N, U)) if levels is None else rng.integers(levels, size=(N, U)).astype(float)
    edges = rng.random((N, U)) < 0.3
    return edges, scores, edges * rng.choice([-1, 0, 1], (N, U))


def candidates(i, j):
    return np.setdiff1d(np.arange(U), [OWN[i], OWN[j]])


@pytest.mark.parametrize("levels", [None, 2, 5])
def test_average_precision_is_scikit_learns_on_the_candidates(levels):
    edges, scores, _ = world(0, levels)
    found = average_precision(edges, scores, OWN)
    for i in range(N):
        for j in range(N):
            kept = candidates(i, j)
            assert found[i, j] == pytest.approx(average_precision_score(edges[i, kept], scores[j, kept]))


@pytest.mark.parametrize("levels", [None, 2, 5])
def test_early_precision_is_the_mean_over_random_orders_of_ties(levels):
    edges, scores, _ = world(1, levels)
    found = early_precision_ratio(edges, scores, OWN)
    rng = np.random.default_rng(0)
    for i, j in ((0, 0), (1, 4), (3, 2), (6, 6)):
        kept = candidates(i, j)
        known, values = edges[i, kept], scores[j, kept]
        k = known.sum()
        draws = []
        for _ in range(4000 if levels else 1):
            order = np.lexsort((rng.random(len(values)), -values))
            draws.append(known[order[:k]].mean() / known.mean())
        assert found[i, j] == pytest.approx(np.mean(draws), abs=0.05 if levels else 1e-9)


def test_early_precision_of_scores_that_are_all_equal_is_chance():
    edges, *_ = world(2)
    np.testing.assert_allclose(early_precision_ratio(edges, np.zeros((N, U)), OWN), 1.0)


def test_average_precision_of_scores_that_are_all_equal_is_the_density():
    edges, *_ = world(2)
    found = average_precision(edges, np.zeros((N, U)), OWN)
    assert found[0, 1] == pytest.approx(edges[0, candidates(0, 1)].mean())


def test_perfect_scores_are_found_perfect():
    edges, _, signs = world(3)
    own = np.diagonal(average_precision(edges, edges.astype(float), OWN))
    np.testing.assert_allclose(own, 1.0)
    ratio = np.diagonal(early_precision_ratio(edges, edges.astype(float), OWN))
    density = [edges[i, candidates(i, i)].mean() for i in range(N)]
    np.testing.assert_allclose(ratio, 1 / np.array(density))
    np.testing.assert_allclose(np.diagonal(sign_agreement(signs, signs, OWN)), 1.0)
    np.testing.assert_allclose(np.diagonal(sign_agreement(signs, -signs, OWN)), 0.0)


def test_what_a_gene_does_to_itself_and_to_its_partner_does_not_count():
    edges, scores, signs = world(4)
    spoiled = scores.copy()
    inside = np.flatnonzero(OWN >= 0)
    spoiled[inside, OWN[inside]] = 99.0
    np.testing.assert_array_equal(average_precision(edges, spoiled, OWN), average_precision(edges, scores, OWN))
    np.testing.assert_array_equal(early_precision_ratio(edges, spoiled, OWN), early_precision_ratio(edges, scores, OWN))
    np.testing.assert_array_equal(sign_agreement(signs, spoiled, OWN), sign_agreement(signs, scores, OWN))


def test_signs_by_hand():
    _, scores, signs = world(5)
    scores[2, 5:] = 0.0
    found = sign_agreement(signs, scores, OWN)
    for i in range(N):
        for j in range(N):
            kept = [t for t in candidates(i, j) if signs[i, t]]
            right = [0.5 if scores[j, t] == 0 else float(np.sign(scores[j, t]) == signs[i, t]) for t in kept]
            assert found[i, j] == pytest.approx(np.mean(right))


def test_a_regulator_without_a_measured_target_has_no_number():
    edges, scores, signs = world(6)
    edges[1], signs[1] = False, 0
    for found in (average_precision(edges, scores, OWN), early_precision_ratio(edges, scores, OWN),
                  sign_agreement(signs, scores, OWN)):  # fmt: skip
        assert np.isnan(found[1]).all()
        assert np.isfinite(found[0]).all()


def test_pooled_edges_are_ranked_together():
    edges, scores, _ = world(7)
    ratio, p = pooled_early_precision(edges, scores, OWN)
    kept = np.ones((N, U), dtype=bool)
    kept[np.flatnonzero(OWN >= 0), OWN[OWN >= 0]] = False
    known, values = edges[kept], scores[kept]
    k = known.sum()
    hits = known[np.argsort(-values)[:k]].sum()
    assert ratio == pytest.approx(hits / k / known.mean())
    rng = np.random.default_rng(0)
    draws = [rng.permutation(known)[:k].sum() >= hits for _ in range(4000)]
    assert p == pytest.approx(np.mean(draws), abs=0.03)
    assert pooled_early_precision(edges, edges.astype(float), OWN)[0] == pytest.approx(1 / known.mean())
    assert np.isnan(pooled_early_precision(np.zeros((N, U)), scores, OWN)).all()
