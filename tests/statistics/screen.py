"""A screen whose perturbations differ in strength, similarity from latent axes, programs of Reactome's sizes in it."""

from typing import NamedTuple

import numpy as np

from pertprobe.statistics.coherence import coherence
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.power import Null, power
from pertprobe.statistics.sets import strength_windows
from pertprobe.statistics.similarity import cosine_similarity

UNITS = 585


class Screen(NamedTuple):
    similarity: np.ndarray
    """[units, units]: cosines of responses less their mean."""
    strength: np.ndarray
    """[units]."""


def screen(rng, units=UNITS, axes=12, features=64):
    """Return a screen: responses on latent axes and one that all share, as strong as their strength, with noise."""
    strength = rng.lognormal(0, 0.6, units)
    loadings = rng.normal(size=(units, axes)) / np.sqrt(axes / 8)
    shared, *directions = rng.normal(size=(axes + 1, features)) / np.sqrt(features)
    responses = strength[:, None] * (loadings @ np.array(directions) + 1.2 * shared)
    responses += rng.normal(size=(units, features)) / np.sqrt(features)
    return Screen(cosine_similarity(responses - responses.mean(axis=0)), strength)


def sizes(rng, number, least=3, most=40):
    """Return sizes of programs, least to most, of which half have about twice the least: Pareto, as Reactome's are."""
    return np.floor(least / (1 - rng.random(number) * (1 - least / (most + 1)))).astype(int)


def chosen(rng, strength, n):
    """Return members, the likelier the stronger."""
    return rng.choice(strength.size, n, replace=False, p=strength**2 / (strength**2).sum())


def with_shift(similarity, members, shift):
    """Return a similarity with that of all pairs of members raised."""
    raised = similarity.copy()
    raised[np.ix_(members, members)] += shift
    return raised


def planted_pairs(rng, found, n, d, draws):
    """Return the test of a program's coherence, and of another of its size and strength that is planted at its d."""
    members = chosen(rng, found.strength, n)
    before = coherence(found.similarity, members, found.strength, draws, rng)
    other = strength_windows(members, found.strength).draw(1, rng)[0]
    similarity = with_shift(found.similarity, other, d * before.unit_sd)
    return before, coherence(similarity, other, found.strength, draws, rng)


def planted_scores(rng, found, n, d, draws):
    """Return the tests of a program's mean score before and after it is planted."""
    members = chosen(rng, found.strength, n)
    scores = rng.normal(size=found.strength.size) + 2 * found.strength
    before = mean_score(scores, members, found.strength, draws, rng)
    scores[members] += d * before.unit_sd
    return before, mean_score(scores, members, found.strength, draws, rng)


def found_and_claimed(planted, n, d, alpha=0.05, programs=200, units=UNITS, draws=199, seed=0):
    """Return the share of programs planted at d that have p <= alpha, and the mean power claimed for them."""
    rng, found, claimed = np.random.default_rng([seed, n]), [], []
    worlds = [screen(rng, units) for _ in range(programs // 20)]
    for i in range(programs):
        world = worlds[i % len(worlds)]
        before, test = planted(rng, world, n, d, draws)
        found.append(getattr(test, test.p_used) <= alpha)
        claimed.append(power(Null.of(before._asdict()), alpha, d))
    return np.mean(found), np.mean(claimed)
