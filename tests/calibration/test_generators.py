import numpy as np
import pytest

from pertprobe.calibration import speed
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.published import rank_sum_triples
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix

N = 60


def rng(seed=0):
    return np.random.default_rng(seed)


def sparse(rng):
    """Return what features read of dense codes, and the strength of these."""
    codes, strength = generators.dense(rng)
    return generators.activations(codes, rng.normal(size=(generators.WIDTH, generators.FEATURES))), strength


@pytest.mark.parametrize("make", [generators.dense, sparse])
def test_strong_perturbations_resemble_each_other_and_programs_by_strength_are_strong(make):
    values, strength = make(rng())
    strong = np.argsort(strength)[-20:]
    similarity = cosine_similarity(values)
    upper = np.triu_indices(20, 1)
    assert similarity[np.ix_(strong, strong)][upper].mean() > similarity[np.triu_indices(len(values), 1)].mean() + 0.1
    found = generators.by_strength(rng(), 30, strength)
    assert strength[found].mean() > 1.1 * strength.mean()


def test_sparse_means_are_never_negative_and_mostly_small():
    values, _ = sparse(rng())
    assert values.min() >= 0
    assert np.median(values) < 0.3 * values.max()


def test_a_test_that_holds_no_strength_is_confounded():
    generator, low = rng(1), 0
    for _ in range(N):
        values, strength = generators.dense(generator)
        found = generators.by_strength(generator, 30, strength)
        low += coherence(cosine_similarity(centred(values)), found, None, 99, generator).p < 0.05
    assert low > 0.3 * N


@pytest.mark.parametrize(("by_strength", "together"), [(True, 0.3), (False, generators.TOGETHER)])
def test_published_triples_are_fooled_by_strength_and_by_pairs_that_vary_together(by_strength, together):
    generator, low = rng(2), 0
    for _ in range(N):
        values, strength = generators.derivatives(generator, by_strength=by_strength, together=together)
        draw = (
            generators.by_strength(generator, 10, strength) if by_strength else generators.uniform(generator, 10, 200)
        )
        low += rank_sum_triples(values[draw], np.delete(values, draw, axis=0)).p < 0.05
    assert low > 0.15 * N


def test_derivatives_of_co_expressed_pairs_vary_together():
    together, apart = (generators.derivatives(rng(), by_strength=False, together=t).values for t in (0.8, 0.0))
    upper = np.triu_indices(generators.PAIRS, 1)
    assert np.corrcoef(np.log(together.T))[upper].mean() > 0.6
    assert abs(np.corrcoef(np.log(apart.T))[upper].mean()) < 0.1


def test_knockouts_share_a_profile_the_more_the_higher_a_gene_is_expressed():
    ours, theirs, expression = generators.knockouts(rng())
    own = np.full(len(expression), -1)
    r = spearman_matrix(ours, theirs, own, own)
    assert (np.diff(expression) > 0).all()
    assert np.diagonal(r)[-20:].mean() > 0.4 > np.diagonal(r)[:20].mean()
    block = r[-20:, -20:]
    assert abs(np.diagonal(block).mean() - block.mean()) < 0.1  # nothing of a gene's own


def test_sizes_of_the_speed_test_are_674():
    found = speed.reactome_sizes()
    assert (len(found), min(found), max(found)) == (674, 2, 323)


@pytest.mark.parametrize("d", [1.0, 3.0])
def test_pushed_members_are_alike_by_d(d):
    values, _ = generators.dense(rng(), 80)
    members, others = np.arange(6), np.arange(6, 80)
    similarity = cosine_similarity(centred(generators.pushed(values, members, d, rng(1))))
    own = similarity[:6, :6][np.triu_indices(6, 1)].mean()
    score = similarity[np.ix_(others, members)].mean(axis=1)
    assert (own - score.mean()) / score.std(ddof=1) == pytest.approx(d, abs=0.01)


def test_nothing_is_pushed_where_there_are_no_members():
    values, _ = generators.dense(rng(), 80)
    np.testing.assert_array_equal(generators.pushed(values, (), 3.0, rng(1)), values)
