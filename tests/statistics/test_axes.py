"""What common axes foretell of pairs, against the obvious: known axes, sets left out one by one, planted nuisances."""

import numpy as np
import pytest
from scipy.stats import binom
from slow_axes import slow_mean

from pertprobe.statistics.axes import IN_PAIRS, LARGE, axes_between, beyond_axes, pairs_without_axes
from pertprobe.statistics.matched import paired_profile_test, strata
from pertprobe.statistics.permutation import coherence
from pertprobe.statistics.similarity import centred, cosine_similarity

DRAWS = 120
AT_MOST = binom.ppf(0.999, DRAWS, 0.05) / DRAWS


def rng(seed=0):
    return np.random.default_rng(seed)


def of_axes(n, axes, seed=0):
    """Return pairs that are means and axes alone."""
    random = rng(seed)
    rows, columns = random.normal(size=(2, n))
    return rows[:, None] + columns + random.normal(size=(n, axes)) @ random.normal(size=(n, axes)).T


@pytest.mark.parametrize("n", [30, LARGE + 30])
@pytest.mark.parametrize("axes", [0, 1, 3])
def test_means_and_axes_are_foretold_and_what_members_have_beside_them_stays(n, axes):
    pairs, members, own = of_axes(n, axes), np.array([3, 8, 9, 20]), rng(1).normal(size=(4, 4))
    pairs[np.ix_(members, members)] += own
    left = pairs_without_axes(pairs, axes, members)
    inside = np.isin(np.arange(n), members)
    size = np.abs(pairs).max()
    assert left[np.ix_(inside, inside)] == pytest.approx(own, abs=0.01 * size)
    between = ~(inside[:, None] & inside) & ~np.eye(n, dtype=bool)
    assert np.abs(left[between]).max() < 0.01 * size


def test_a_similarity_of_axes_alone_leaves_nothing():
    loadings, members = rng(6).normal(size=(40, 3)), np.arange(5)
    similarity = loadings @ loadings.T
    found = beyond_axes(similarity, 3, members)
    assert np.abs(found.left).max() < 0.01 * np.abs(similarity).max()
    # Members' directions are told by their pairs with others: together they span what the loadings span.
    outside = found.directions[5:]
    assert outside.T @ outside == pytest.approx(np.eye(3), abs=1e-9)
    fit = np.linalg.lstsq(loadings[5:], outside, rcond=None)[0]
    assert loadings[:5] @ fit == pytest.approx(found.directions[:5], abs=0.01)


def test_pairs_are_brought_to_one_variance():
    """Of noise beside axes, in which members lie far out, what is left has one spread, members or not."""
    random, members, squares = rng(8), np.arange(12), np.zeros((2, 60, 60))
    loadings = np.r_[np.full(12, 4.0), random.normal(size=48)][:, None]
    for _ in range(400):
        noise = np.triu(random.normal(size=(60, 60)), 1)
        found = beyond_axes(8 * loadings @ loadings.T + noise + noise.T, 1, members)
        squares += found.left**2, found.alike() ** 2
    inside = np.ix_(range(12), range(12))
    left, alike = np.sqrt(squares[:, *inside].sum(axis=(1, 2)) / (400 * 12 * 11))
    assert left > 1.2
    assert alike == pytest.approx(1, abs=0.05)
    assert np.sqrt(squares[1][12:, 12:].sum() / (400 * 48 * 47)) == pytest.approx(1, abs=0.05)


def test_a_units_pair_with_itself_has_no_say():
    pairs = of_axes(40, 1, seed=2)
    more = pairs + np.diag(rng(3).normal(size=40) + 5)
    found, plain = (pairs_without_axes(each, 1) for each in (more, pairs))
    between = ~np.eye(40, dtype=bool)
    assert found[between] == pytest.approx(plain[between], abs=1e-9)
    assert np.diagonal(found) - np.diagonal(plain) == pytest.approx(np.diagonal(more - pairs))


def test_pairs_of_members_change_nothing_but_themselves():
    similarity, members = of_axes(50, 2) + rng(1).normal(size=(50, 50)), np.arange(6)
    similarity = (similarity + similarity.T) / 2
    other = similarity.copy()
    other[:6, :6] += 7.0
    one, two = (beyond_axes(each, 2, members) for each in (similarity, other))
    expected = np.zeros((50, 50))
    expected[:6, :6] = 7.0 * ~np.eye(6, dtype=bool)
    assert two.left - one.left == pytest.approx(expected, abs=1e-12)
    assert two.directions == pytest.approx(one.directions, abs=1e-12)


def test_the_order_of_units_changes_nothing():
    pairs, order = of_axes(30, 2) + rng(4).normal(size=(30, 30)), rng(5).permutation(30)
    members = np.array([1, 2, 3])
    turned = pairs_without_axes(pairs[np.ix_(order, order)], 2, np.argsort(order)[members])
    assert turned == pytest.approx(pairs_without_axes(pairs, 2, members)[np.ix_(order, order)], abs=1e-9)


@pytest.mark.parametrize("n", [40, 8])
def test_a_set_is_foretold_from_units_outside_of_it(n):
    """Small sets are gathered, large ones multiplied in full."""
    similarity = rng(1).normal(size=(60, 60))
    similarity += similarity.T
    found, sets = beyond_axes(similarity, 2, np.arange(3)), np.array([rng(i).permutation(60)[:n] for i in range(5)])
    assert found.members[sets].any()
    assert found.means(sets) == pytest.approx([slow_mean(found, each) for each in sets], rel=5e-3)
    assert found.means(np.arange(3)[None])[0] == pytest.approx(slow_mean(found, np.arange(3)), rel=5e-3)


def test_too_few_others_leave_pairs_as_they_are():
    pairs = rng().normal(size=(5, 5))
    assert (pairs_without_axes(pairs, 3, [0, 1, 2]) == pairs).all()
    whole = beyond_axes(pairs + pairs.T, 3, np.arange(5))
    between = (pairs + pairs.T)[np.triu_indices(5, 1)]
    assert whole.means(np.arange(5)[None])[0] == pytest.approx(between.mean())
    # Of three others no axis can be known, but means can.
    assert np.linalg.matrix_rank(pairs - pairs_without_axes(pairs, 3, [0, 1]), tol=1e-6) <= 2


def test_equal_pairs_leave_nothing():
    assert np.abs(pairs_without_axes(np.full((12, 12), 0.3), 3)).max() < 1e-12
    assert axes_between(np.zeros((8, 8)), 1).inside == pytest.approx(np.zeros((8, 8)))


def shared_with_a_sign(random, n_units, axes):
    """Return profiles that share axes with a sign, their strengths, and weights of a program along the axes."""
    strength = random.lognormal(0, 0.5, n_units)
    loadings = random.normal(size=(n_units, axes))
    own = random.normal(size=(n_units, 150)) / 4
    profiles = strength[:, None] * (own + 0.2 * loadings @ random.normal(size=(axes, 150)))
    weights = np.exp(loadings.sum(axis=1))
    return profiles, strength, weights / weights.sum()


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("n", [5, 15])
def test_programs_along_shared_axes_are_not_coherent_by_them(axes, n):
    random, found, unheld = rng(10 * axes + n), 0, 0
    for _ in range(DRAWS):
        profiles, strength, weights = shared_with_a_sign(random, 150, axes)
        members = random.choice(150, n, replace=False, p=weights)
        test = coherence(cosine_similarity(centred(profiles)), members, strength, 199, random)
        found, unheld = found + (test.p_stratified <= 0.05), unheld + (test.p <= 0.05)
    assert unheld / DRAWS > 0.3
    assert found / DRAWS <= AT_MOST


@pytest.mark.parametrize("n", [4, 20])
def test_a_program_with_an_axis_of_its_own_is_found_among_shared_ones(n):
    random, found = rng(n), 0
    for _ in range(20):
        profiles, strength, _ = shared_with_a_sign(random, 150, 2)
        members = random.choice(150, n, replace=False)
        profiles[members] += strength[members, None] * 0.2 * random.normal(size=150)
        test = coherence(cosine_similarity(centred(profiles)), members, strength, 199, random)
        found += test.p_stratified <= 0.05
    assert found >= 18


@pytest.mark.parametrize("members", [None, 20])
def test_units_do_not_agree_with_themselves_by_a_shared_axis(members):
    random, found, unheld = rng(7), 0, 0
    for _ in range(DRAWS):
        loading = random.lognormal(0, 0.6, 80)[:, None]
        shared = random.normal(size=200)
        ours, theirs = (0.7 * loading * shared + random.normal(size=(80, 200)) for _ in range(2))
        r, groups = np.corrcoef(ours, centred(theirs))[:80, 80:], strata(random.random(80))
        own = None if members is None else random.choice(80, members, replace=False)
        left = pairs_without_axes(r, IN_PAIRS, own)
        tests = (paired_profile_test(each, groups, 199, random, members=own).test.p for each in (left, r))
        found, unheld = (count + (p <= 0.05) for count, p in zip((found, unheld), tests, strict=True))
    assert unheld / DRAWS > 0.3
    assert found / DRAWS <= AT_MOST
