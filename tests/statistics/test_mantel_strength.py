"""Mantel with strength held: what strength gives both similarities is no agreement, what is beside it is found."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom

from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.null_worlds import routes
from pertprobe.statistics.sets import orders_within, pairs_without_strength, strength_blocks
from pertprobe.statistics.similarity import centred, cosine_similarity, without_shared

P = 60
WORLDS = 100


def sides(rng, agree=0.0):
    """Return profiles of two sides that both rise with strength, and strength; `agree` is what else they share."""
    strength = rng.lognormal(0, 0.6, P)
    common = rng.normal(size=(P, 8))
    profiles = []
    for _ in range(2):
        own = np.sqrt(1 - agree) * rng.normal(size=(P, 8)) + np.sqrt(agree) * common
        profiles.append(np.column_stack([3 * strength, own]))
    return profiles, strength


def raw(profiles):
    return [cosine_similarity(each) for each in profiles]


def similarities_of(profiles):
    return [cosine_similarity(without_shared(each)) for each in profiles]


def test_strength_as_the_common_cause_passes_five_in_a_hundred_only_where_it_is_held():
    """As routing_coherence holds it: the shared effect of any size is taken from the profiles, strength from pairs."""
    rng = np.random.default_rng(0)
    worlds = [sides(rng) for _ in range(120)]
    assert np.mean([mantel(*raw(each), 99, rng).p <= 0.05 for each, _ in worlds]) > 0.9
    found = [mantel(*similarities_of(each), 99, rng, strength=strength).p_stratified for each, strength in worlds]
    assert np.mean(np.array(found) <= 0.05) <= binom.ppf(0.999, 120, 0.05) / 120


def test_centring_alone_leaves_likeness_by_how_much_of_the_shared_effect_each_has():
    """Strength is measured with noise, its own trend is not all that it gives both sides."""
    rng = np.random.default_rng(0)

    def share(prepared):
        found = []
        for _ in range(WORLDS):
            *sides, strength = routes(rng, P)
            similarities = [cosine_similarity(prepared(each)) for each in sides]
            found.append(mantel(*similarities, 99, rng, strength=strength).p_stratified <= 0.05)
        return np.mean(found)

    assert share(centred) > 0.35  # 0.46 of 200 worlds
    assert share(without_shared) <= binom.ppf(0.999, WORLDS, 0.05) / WORLDS


def test_agreement_beside_strength_is_found():
    profiles, strength = sides(np.random.default_rng(1), agree=0.5)
    test = mantel(*similarities_of(profiles), 199, np.random.default_rng(2), strength=strength)
    assert test.p_used == "p_stratified"
    assert test.p_stratified == 1 / 200


def test_the_effect_is_the_correlation_of_what_strength_does_not_explain():
    """The slow way: residuals by least squares over pairs, then numpy's correlation."""
    profiles, strength = sides(np.random.default_rng(3), agree=0.3)
    similarities = similarities_of(profiles)
    test = mantel(*similarities, 499, np.random.default_rng(4), strength=strength)
    upper = np.triu_indices(P, 1)
    residuals = [pairs_without_strength(each, strength)[upper] for each in similarities]
    assert test.estimate == pytest.approx(np.corrcoef(*(each[upper] for each in similarities))[0, 1])
    left = np.corrcoef(*residuals)[0, 1]
    assert test.estimate - test.null_mean == pytest.approx(left, abs=0.03)  # the mean of its null is nearly 0


def test_without_strength_nothing_changes():
    profiles, _ = sides(np.random.default_rng(5))
    test = mantel(*raw(profiles), 99, np.random.default_rng(6))
    assert np.isnan(test.p_stratified)
    assert test.p_used == "p"


def test_too_few_perturbations_for_blocks_are_not_separable():
    profiles, strength = sides(np.random.default_rng(7))
    few = [each[:8, :8] for each in raw(profiles)]
    test = mantel(*few, 99, np.random.default_rng(8), strength=strength[:8])
    assert test.note == "strength not separable"
    assert test.p_used == "p"


def test_orders_change_places_within_blocks_of_like_strength_only():
    strength = np.random.default_rng(9).random(23)
    blocks = strength_blocks(strength)
    block_of = np.empty(23, dtype=int)
    for number, block in enumerate(blocks):
        block_of[block] = number
    orders = orders_within(blocks, 23, 50, np.random.default_rng(10))
    assert (np.sort(orders, axis=1) == np.arange(23)).all()
    assert (block_of[orders] == block_of).all()
    ordered = [strength[block] for block in blocks]
    assert all(a.max() <= b.min() for a, b in pairwise(ordered))


def test_without_the_shared_effect_profiles_that_differ_in_its_size_alone_are_nothing():
    shared, sizes = np.random.default_rng(11).normal(size=12), np.linspace(0.5, 3, 9)
    np.testing.assert_allclose(without_shared(np.outer(sizes, shared)), 0, atol=1e-12)


def test_without_the_shared_effect_what_is_left_is_orthogonal_to_it_and_has_no_mean():
    profiles = np.random.default_rng(12).normal(size=(9, 12)) + 1.0
    left = without_shared(profiles)
    np.testing.assert_allclose(left @ profiles.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(left.mean(axis=0), 0, atol=1e-12)
