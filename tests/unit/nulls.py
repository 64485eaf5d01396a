"""A probe's own primary question asked in its null worlds, in small: false positives, and what is planted found."""

from dataclasses import replace

import numpy as np
from scipy.stats import binom
from tiny import cell_sets

from pertprobe.data.programs import Programs
from pertprobe.probes import load_probe
from pertprobe.probes.base import Drawing, TestInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import answers

SIZES = (5, 10)
UNITS = 70
WORLDS = 200
BOUND = binom.ppf(0.999, WORLDS, 0.05) / WORLDS
"""Share of false positives at p < 0.05 that a valid test exceeds once in a thousand times."""
IDENTITY = {"model": "m", "reference": "r", "context": "here", "regime": "fewshot"}


def drawn(rng, world, n, confounded):
    """Return the names of n units: drawn uniformly, or the likelier the larger their confounder."""
    weights = world.confounder.to_numpy() ** 2
    p = weights / weights.sum() if confounded else None
    return list(rng.choice(world.confounder.index, n, replace=False, p=p))


def p_values(probe, world, programs, seed, change=lambda given: given):
    """Return program -> the p that verdicts use, of the primary question."""
    declaration = declared(probe)
    defaults = {"identity": {"probe": probe, **IDENTITY}, "reference": None, "panels": {}, "cells": cell_sets()}
    given = {**defaults, "permutations": 199, "bootstrap": 9, "seed": seed, **change(world.given(programs))}
    inputs = TestInputs(programs=Programs(programs), **given)
    asked = [
        question
        for question in load_probe(probe).questions(inputs)
        if question.statistic == declaration.primary and question.adjustment == "centred"
    ]
    return {row["program"]: row[row["p_used"]] for row in answers(inputs, declaration, asked)}


def false_positives(probe, *, confounded, change=lambda given: given, worlds=WORLDS):
    """Return size of programs -> share of worlds in which such a program has p < 0.05."""
    null_world, found = load_probe(probe).null_world, {n: [] for n in SIZES}
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        world = null_world(Drawing(rng, UNITS))
        programs = {str(n): drawn(rng, world, n, confounded) for n in SIZES}
        for program, p in p_values(probe, world, programs, seed, change).items():
            found[int(program)].append(p < 0.05)
    return {n: np.mean(each) for n, each in found.items()}


def found_planted(probe, members, d, worlds=30):
    """Return the share of worlds in which members that are shifted by d have p < 0.05."""
    found = []
    for seed in range(worlds):
        world = load_probe(probe).null_world(Drawing(np.random.default_rng(seed), UNITS, members=range(members), d=d))
        programs = {"planted": list(world.confounder.index[:members])}
        found.append(p_values(probe, world, programs, seed)["planted"] < 0.05)
    return np.mean(found)


def shuffled_strength(given):
    """Return what a world gives with strength that says nothing of the units."""
    order = np.random.default_rng(0).permutation(len(given["subject"].strength))

    def shuffled(side):
        return replace(side, strength=side.strength.set_axis(side.strength.index[order]))

    return {**given, **{name: shuffled(given[name]) for name in ("subject", "reference")}}
