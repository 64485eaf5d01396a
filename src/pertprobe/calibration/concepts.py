"""concept_alignment calibrated: programs without signal, power, its planted model, and untrained weights."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import comb
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import concepts, evidence
from pertprobe.calibration.nulls import program_nulls
from pertprobe.calibration.planted import FOUND, STRONG, beside_random, random_programs
from pertprobe.calibration.power_curves import UNITS, loaded, power_rows
from pertprobe.calibration.table import frame
from pertprobe.calibration.untrained import both_nulls, fresh, fresh_tables
from pertprobe.calibration.world import CONTEXTS, World, inputs_of, question_of, strength_of, world
from pertprobe.measuring import measure_shard
from pertprobe.models.planting import NOISE
from pertprobe.probes import concept_alignment as probe
from pertprobe.probes.base import Subject, itself
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.permutation import Test, summary
from pertprobe.statistics.ranks import average_ranks

NAME = "concept_alignment"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
SETTINGS = {
    "layers": ["middle"], "negatives": "strength", "negatives_each": 3, "directions": 3, "refits": 499,
    "outcome_refits": 19, "mlp_refits": 19,
}  # fmt: skip
READ = 7
"""Outputs that are differentiated."""
OWN_CONTEXT: dict[str, Any] = {"contexts": ()}
"""Outputs are read in the model's own context alone."""

Sizes = Mapping[str, Any]


class Layer(NamedTuple):
    """States of a layer, and what some outputs read of it."""

    states: np.ndarray
    """[units, width]."""
    strength: np.ndarray
    jacobian: np.ndarray
    """[outputs, width]."""


def aligned(layer: Layer, members: np.ndarray, refits: int, rng: Generator) -> Test:
    """Test the alignment of a program's direction as the probe does."""
    ranks = average_ranks(layer.strength)
    negatives = concepts.hard_negatives(np.abs(ranks[:, None] - ranks), members, SETTINGS["negatives_each"])
    pool = np.union1d(members, negatives)
    labels = concepts.permuted_labels(np.isin(pool, members), refits, rng)
    states = concepts.without_strength(layer.states, layer.strength)
    span = concepts.top_directions(layer.jacobian, SETTINGS["directions"])
    found = concepts.span_cosine(concepts.directions(states[pool], labels), span)
    return summary(float(found[0]), found[1:], max(comb(len(pool), len(members)), refits + 1), refits)


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly, or by strength, which outputs read (methods.md, Calibration)."""

    def test(made: Layer, members: np.ndarray, rng: Generator) -> Test:
        """Test a program as the probe does."""
        return aligned(made, members, sizes["permutations"], rng)

    make = partial(_layer, confounded)
    return frame(program_nulls(NAME, make, test, sizes, seed, confounded=confounded, draws="draws_dear"))


def _layer(confounded: bool, rng: Generator) -> Layer:
    """Draw a layer whose outputs read chance directions; where `confounded`, that of strength too."""
    states, strength = generators.dense(rng)
    along = (strength - strength.mean()) @ (states - states.mean(axis=0))
    read = rng.normal(size=(READ, states.shape[1])) / np.sqrt(states.shape[1])
    return Layer(states, strength, read + confounded * along / np.linalg.norm(along))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted concepts found; d is the shift of members in mean cosine, in sd of all others."""
    return frame(power_rows(NAME, _planted_test, sizes, seed))


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test codes whose members share a direction that the outputs read, beside noise; strength is drawn apart."""
    codes = loaded(rng, n, d)
    read = np.column_stack([rng.normal(size=(READ, NOISE)) / (2 * np.sqrt(NOISE)), np.ones(READ)])
    return aligned(Layer(codes, rng.lognormal(0, generators.SPREAD, UNITS), read), np.arange(n), permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs found in the planted model of one simulated data set, and of random ones beside."""
    with world(sizes["simulate"], seed) as made:
        return frame(row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed))


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    random = random_programs(made, seed, NAME)
    table = _planted_table(made, random, d, sizes, seed)
    settings = f"planted programs, d = {d:g}", f"random programs beside, d = {d:g}"
    bar = FOUND if d == STRONG else {}
    yield from beside_random(NAME, table, declared(NAME).compared_in, CONDITIONS, random, bar, settings, seed)


def _planted_table(made: World, random: Programs, d: float, sizes: Sizes, seed: int) -> pd.DataFrame:
    context = CONTEXTS[0]
    base = fresh(made, context, 16, seed)
    base.card |= {"d": d, "seed": seed}
    inputs = inputs_of(made, context, base, SETTINGS, seed, programs=made.programs, **OWN_CONTEXT)
    model = probe.plant(inputs, {"planted": base})["planted"]
    asked = replace(inputs, model=model, programs=made.programs | random, role="planted")
    found = itself(measure_shard(NAME, asked, 0, 1))
    subject = Subject(found, strength_of(asked), pd.Series(dtype=object))
    question = question_of(NAME, context, subject, asked, asked.programs, sizes, seed)
    return evidence.frame(probe.controlled(question))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        return frame(
            row
            for words, table in fresh_tables(NAME, made, SETTINGS, sizes, seed, by_program=True, **OWN_CONTEXT)
            for row in both_nulls(NAME, table, declared(NAME).compared_in, words, seed)
        )
