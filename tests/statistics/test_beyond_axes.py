"""How alike sets are beyond axes of all others: against the obvious, its laws, planted nuisances and what must stay."""

import numpy as np
import pytest
from scipy.stats import binom
from slow_axes import slow_pairs, slow_weighted

from pertprobe.statistics.axes import LARGE
from pertprobe.statistics.beyond_axes import BeyondAxes, axes_held
from pertprobe.statistics.coherence import coherence, coherence_tests, without_nearest
from pertprobe.statistics.nuisances import Beside
from pertprobe.statistics.null_worlds import CONFOUNDED, confounded, pushed
from pertprobe.statistics.sets import uniform_sets
from pertprobe.statistics.similarity import centred, cosine_similarity

DRAWS = 60
AT_MOST = binom.ppf(0.999, DRAWS, 0.05) / DRAWS
HELD = Beside(axes=3)


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(n, seed=0, width=20):
    return cosine_similarity(centred(rng(seed).normal(size=(n, width))))


def between(pairs, members):
    return pairs[np.ix_(members, members)][np.triu_indices(len(members), 1)]


@pytest.mark.parametrize("n", [30, LARGE + 30])
@pytest.mark.parametrize("size", [2, 7, 15])
def test_every_set_is_asked_as_the_slow_way_asks_it(n, size):
    found, sets = BeyondAxes.of(noise(n), 2), uniform_sets(size, n, 6, rng(1))
    weighted = [slow_weighted(found, each) for each in sets]
    pairs = np.triu_indices(size, 1)
    assert found.means(sets) == pytest.approx([each[pairs].mean() for each in weighted], abs=1e-9)
    assert found.effect(sets[0]) == pytest.approx(slow_pairs(found, sets[0])[0][pairs].mean(), abs=1e-9)


def test_the_unit_of_d_is_the_spread_of_others_beyond_the_same_axes():
    found, members = BeyondAxes.of(noise(40), 2), np.arange(5)
    _, shares, sizes, axes = slow_pairs(found, members)
    outside = np.arange(5, 40)
    near = found.similarity[np.ix_(outside, members)].mean(axis=1)
    scores = near - found.similarity[np.ix_(outside, outside)].mean(axis=1) - axes @ (sizes * shares.mean(axis=0))
    assert found.unit_sd(members) == pytest.approx(scores.std(ddof=1), rel=1e-9)


def test_a_similarity_of_axes_alone_leaves_nothing():
    loadings = rng(6).normal(size=(60, 3))
    similarity = loadings @ loadings.T
    found, sets = BeyondAxes.of(similarity, 3), uniform_sets(6, 60, 20, rng(7))
    assert np.abs(found.means(sets)).max() < 0.01 * np.abs(similarity).max()


def test_a_shift_of_all_pairs_and_of_units_changes_nothing():
    """The similarity is taken from the mean of the units outside: what a unit has with all others alike is gone."""
    similarity, own = noise(40), rng(2).normal(size=40)
    found, moved = (BeyondAxes(2, each, *_span(each)) for each in (similarity, similarity + own[:, None] + own + 0.3))
    sets = uniform_sets(6, 40, 10, rng(3))
    directions = found.directions
    moved = moved._replace(directions=directions, along=moved.similarity @ directions)
    assert moved.means(sets) == pytest.approx(found.means(sets), abs=1e-9)


def _span(similarity):
    directions = np.linalg.eigh(similarity)[1][:, -5:]
    return directions, similarity @ directions


def test_the_order_of_units_changes_nothing():
    similarity, order = noise(40), rng(4).permutation(40)
    sets = uniform_sets(5, 40, 8, rng(5))
    turned = BeyondAxes.of(similarity[np.ix_(order, order)], 3).means(np.argsort(order)[sets])
    assert turned == pytest.approx(BeyondAxes.of(similarity, 3).means(sets), abs=1e-9)


def test_what_a_set_has_of_its_own_stays():
    """Pairs of members have no say in the axes of others, whatever they are."""
    random, members = rng(8), np.arange(6)
    loadings = random.normal(size=(50, 2))
    similarity = 3 * loadings @ loadings.T
    own = np.triu(random.normal(size=(6, 6)), 1)
    similarity[:6, :6] += own + own.T
    left = BeyondAxes.of(similarity, 2).effect(members)
    assert left == pytest.approx(between(own + own.T, members).mean(), abs=0.02 * np.abs(similarity).max())


def test_axes_need_units_outside():
    assert [axes_held(3, 4, n) for n in (8, 12, 20, 28, 200)] == [0, 1, 2, 3, 3]
    assert axes_held(0, 4, 200) == 0
    strength = rng().lognormal(size=11)
    few = coherence(noise(11), [0, 1, 2, 3], strength, 99, rng(1), beside=HELD)
    assert few == coherence(noise(11), [0, 1, 2, 3], strength, 99, rng(1))


def test_p_of_uniform_programs_is_exact_whatever_their_size():
    """A half of all units is asked by the same function as any other: its p is not drawn towards either end."""
    for n in (5, 40):
        random, p = rng(n), []
        for _ in range(100):
            similarity, strength = noise(80, random.integers(2**31)), np.ones(80)
            members = random.choice(80, n, replace=False)
            p.append(coherence(similarity, members, strength, 99, random, beside=HELD).p_stratified)
        assert np.mean(np.array(p) <= 0.05) <= binom.ppf(0.999, 100, 0.05) / 100
        assert np.mean(np.array(p) >= 0.95) <= binom.ppf(0.999, 100, 0.06) / 100


def shares(kind, n, draws, n_units):
    """Return the shares of programs along a nuisance with p <= 0.05: strength alone held, and all that is known."""
    random, found = rng(n), np.zeros(2)
    for _ in range(draws):
        world = confounded(random, kind, n_units)
        similarity, members = cosine_similarity(centred(world.values)), world.program(random, n)
        test = coherence(similarity, members, world.strength, 199, random, beside=world.beside(3), further=True)
        found += test.p_strength <= 0.05, test.p_stratified <= 0.05
    return found / draws


@pytest.mark.parametrize("kind", CONFOUNDED)
@pytest.mark.parametrize("n", [5, 20])
def test_programs_along_nuisances_are_not_coherent_by_them(kind, n):
    unheld, held = shares(kind, n, DRAWS, 120)
    assert held <= AT_MOST
    if n == 20 and kind not in ("stress axis", "cells"):  # the trend in strength holds most of these
        assert unheld > 0.25


@pytest.mark.parametrize("n", [4, 20])
def test_a_program_with_a_direction_of_its_own_is_found_among_shared_axes(n):
    random, found = rng(n), 0
    for _ in range(20):
        world = confounded(random, "two axes", 120)
        members = random.choice(120, n, replace=False)
        values = pushed(world.values, members, 3.0, random)
        test = coherence(cosine_similarity(centred(values)), members, world.strength, 199, random, beside=HELD)
        found += test.p_stratified <= 0.05
    assert found >= 18


def test_many_tests_are_the_single_tests():
    similarity, strength = noise(60), rng(5).lognormal(size=60)
    groups = np.eye(4)[rng(6).integers(4, size=60)]
    sets = {f"{n}": rng(n).choice(60, n, replace=False) for n in (3, 8, 20)}
    beside = Beside(groups, rng(7).integers(5, 99, 60), 3)
    many = coherence_tests(similarity, sets, strength, 499, lambda name: rng(len(name)), beside=beside, further=True)
    for name, members in sets.items():
        one = coherence(similarity, members, strength, 499, rng(9), beside=beside, further=True)
        for field in ("estimate", "effect", "unit_sd"):
            assert getattr(many[name], field) == pytest.approx(getattr(one, field), rel=1e-9), field
        for field in ("p_stratified", "p_strength", "p_without_pair"):
            assert getattr(many[name], field) == pytest.approx(getattr(one, field), abs=0.1, nan_ok=True), field


def test_one_pair_that_is_alike_does_not_make_a_program():
    random, p = rng(11), []
    for _ in range(60):
        values = random.normal(size=(100, 60))
        members = random.choice(100, 6, replace=False)
        values[members[1]] = values[members[0]] + 0.2 * random.normal(size=60)
        test = coherence(
            cosine_similarity(centred(values)), members, np.ones(100), 199, random, beside=HELD, further=True
        )
        p.append((test.p_stratified, test.p_without_pair))
    share = (np.array(p) <= 0.05).mean(axis=0)
    assert share[0] > 0.3
    assert share[1] <= AT_MOST


def test_of_the_two_most_alike_the_one_goes_that_has_more_with_all():
    pairs = noise(20)
    pairs[3, 7] = pairs[7, 3] = 0.99
    pairs[7, [2, 5]] = pairs[[2, 5], 7] = 0.9
    assert without_nearest(pairs, np.array([2, 3, 5, 7])).tolist() == [2, 3, 5]


def test_a_program_that_overlaps_a_true_one_is_explained_by_it():
    random, strength = rng(12), rng(13).lognormal(size=120)
    values = random.normal(size=(120, 60))
    values[:12] += 1.5 * random.normal(size=60)
    sets = {"true": np.arange(12), "overlaps": np.r_[6:12, 60:66], "within": np.arange(6), "apart": np.arange(80, 90)}
    similarity, given = cosine_similarity(centred(values)), {"further": True}
    found = coherence_tests(similarity, sets, strength, 499, lambda name: rng(len(name)), **given)
    assert found["true"].p_stratified <= 0.01
    assert (found["true"].explained_by, found["apart"].explained_by) == ("", "")
    assert found["overlaps"].p_stratified <= 0.05
    assert found["overlaps"].explained_by == "true"
    assert found["overlaps"].p_beyond > 0.05
    alone = coherence_tests(similarity, {"overlaps": sets["overlaps"]}, strength, 499, lambda _: rng(1), **given)
    assert (alone["overlaps"].explained_by, np.isnan(alone["overlaps"].p_beyond)) == ("", True)
    held = coherence_tests(similarity, sets, strength, 499, lambda name: rng(len(name)), beside=HELD)
    assert held["true"].p_stratified <= 0.01
    assert held["overlaps"].p_stratified > 0.05  # the rest of the true one is an axis of the others
