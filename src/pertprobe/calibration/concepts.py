"""concept_alignment calibrated: programs without signal, power, its planted model, and untrained weights."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import comb
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import concepts, evidence
from pertprobe.calibration import generators
from pertprobe.calibration.nulls import ALPHA, Draw, Question, drawn_program, null_rows, way
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, STRONG
from pertprobe.calibration.power_curves import EFFECTS, MEMBERS, UNITS
from pertprobe.calibration.table import POWER, entry, frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, drawn, fresh
from pertprobe.calibration.untrained import FIGURE as UNTRAINED_FIGURE
from pertprobe.calibration.world import CONTEXTS, World, passing, world
from pertprobe.measuring import measure_shard
from pertprobe.models.planting import loadings, noise_codes
from pertprobe.probes import concept_alignment as probe
from pertprobe.probes import delta_y
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.programs import Programs
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.permutation import Test, summary
from pertprobe.testing import Asked, run_test

NAME = "concept_alignment"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with those of config/schema.yaml."""
SETTINGS = {
    "layers": ["middle"], "negatives": "strength", "negatives_each": 3, "directions": 3, "refits": 499,
    "outcome_refits": 19, "mlp_refits": 19,
}  # fmt: skip
READ = 7
"""Outputs that are differentiated."""

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
    ranks = pd.Series(layer.strength).rank().to_numpy()
    negatives = concepts.hard_negatives(np.abs(ranks[:, None] - ranks), members, SETTINGS["negatives_each"])
    pool = np.union1d(members, negatives)
    labels = concepts.permuted_labels(np.isin(pool, members), refits, rng)
    states = concepts.without_strength(layer.states, layer.strength)
    span = concepts.top_directions(layer.jacobian, SETTINGS["directions"])
    found = concepts.span_cosine(concepts.directions(states[pool], labels), span)
    return summary(float(found[0]), found[1:], max(comb(len(pool), len(members)), refits + 1), refits)


def nulls_uniform(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (inference.md 17 a)."""
    return _nulls(sizes, seed, confounded=False)


def nulls_confounded(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn by strength, where outputs read the direction of strength (b)."""
    return _nulls(sizes, seed, confounded=True)


def _nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    def make(rng: Generator) -> Layer:
        states, strength = generators.dense(rng)
        along = (strength - strength.mean()) @ (states - states.mean(axis=0))
        read = rng.normal(size=(READ, states.shape[1])) / np.sqrt(states.shape[1])
        return Layer(states, strength, read + confounded * along / np.linalg.norm(along))

    def ask(made: Layer, rng: Generator, n: int, published: bool) -> Draw:
        members = drawn_program(rng, n, made.strength, confounded)
        return Draw(aligned(made, members, sizes["permutations"], rng), rng.random(), None)

    question = Question(make, ask)
    return frame(null_rows(NAME, way(confounded), question, sizes["draws_dear"], sizes, seed, exact=not confounded))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted concepts found; d is the shift of members in mean cosine, in sd of all others."""
    rows = []
    for n in MEMBERS:
        for d in EFFECTS:
            rng = generator(seed, "calibration", "power", NAME, n, d)
            found = [_planted_test(rng, n, d, sizes["permutations"]).p < ALPHA for _ in range(sizes["draws"])]
            rows.append(entry(POWER, NAME, f"{n} of {UNITS}, d = {d:g}", np.mean(found), len(found)))
    return frame(rows)


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test codes whose members share a direction that the outputs read, beside noise; strength is drawn apart."""
    inside = np.arange(UNITS)[:, None] < n
    noise = noise_codes([f"p{i}" for i in range(UNITS)], seed_of(int(rng.integers(2**31)), "power"))
    codes = np.concatenate([noise, inside * loadings(inside, d)], axis=1)
    read = np.column_stack([rng.normal(size=(READ, noise.shape[1])) / (2 * np.sqrt(noise.shape[1])), np.ones(READ)])
    return aligned(Layer(codes, rng.lognormal(0, generators.SPREAD, UNITS), read), np.arange(n), permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs found in the planted model of one simulated data set, and of random ones beside."""
    with world(sizes["simulate"], seed) as made:
        return frame(row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, seed))


def _planted_rows(made: World, d: float, seed: int) -> Iterator[dict[str, Any]]:
    conditions = [each for each in CONDITIONS if each[0] != "exceeds_redrawn"]
    random = {f"random_{name}": _random(made, name, seed) for name in made.programs}
    table = _planted_table(made, random, d, seed)
    at_random = table.program.isin(random)
    for words, mine, bar in (
        ("planted programs", ~at_random, FOUND if d == STRONG else {}),
        ("random programs beside", at_random, NOMINAL),
    ):
        passed = passing(evidence.with_q(table[mine], probe.CONTROLLED, probe.CONTROLLED), conditions)
        yield share(PLANTED_FIGURE, NAME, f"{words}, d = {d:g}", passed, seed=seed, **bar)


def _planted_table(made: World, random: Mapping[str, list[str]], d: float, seed: int) -> pd.DataFrame:
    base = fresh(made, CONTEXTS[0], 16, seed)
    base.card |= {"d": d, "seed": seed}
    inputs = _inputs(made, base, made.programs, seed)
    model = probe.plant(inputs, {"planted": base})["planted"]
    asked = replace(inputs, model=model, programs=Programs({**made.programs, **random}), role="planted")
    found = measure_shard(NAME, asked, 0, 1).sel(variant="subject", drop=True)
    return evidence.frame(probe.controlled(_question(found, asked, _strength(asked), seed)))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        model = fresh(made, CONTEXTS[0], sizes["hidden"], seed)
        return frame(row for words in WAYS for row in _untrained_rows(made, model, words, sizes, seed))


def _untrained_rows(made: World, model: Any, words: str, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    strength = _strength(_inputs(made, model, {}, seed))
    asked = _inputs(made, model, drawn(strength, words, sizes, seed), seed)
    found = measure_shard(NAME, asked, 0, 1, redrawn=COPIES, seed=seed_of(seed, "copies", CONTEXTS[0]))
    table = run_test(NAME, Asked(_question(found, asked, strength, seed)))
    rows = table[(table.statistic == probe.CONTROLLED) & (table.role == "subject") & table.evaluable]
    low, largest = rows.p.to_numpy() < ALPHA, rows.exceeds_redrawn.fillna(False).to_numpy(dtype=bool)
    note = f"{1 / (2 * COPIES + 1):.3f} by chance"
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, p < 0.05", low, seed=seed)
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, exceeds_redrawn", largest, seed=seed, note=note)
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, both", low & largest, seed=seed, sense="at most", level=ALPHA)


def _inputs(made: World, model: Any, programs: Mapping[str, Any], seed: int) -> MeasureInputs:
    return MeasureInputs(model, made.cells[CONTEXTS[0]], SETTINGS, programs=programs, seed=seed)


def _strength(inputs: MeasureInputs) -> pd.Series:
    return delta_y.strength(measure_shard("delta_y", replace(inputs, role="subject"), 0, 1))


def _question(found: Any, asked: MeasureInputs, strength: pd.Series, seed: int) -> TestInputs:
    identity = {"probe": NAME, "model": "m", "reference": "", "context": CONTEXTS[0], "regime": "unknown"}
    subject = Subject(found, strength, pd.Series("here", strength.index))
    return TestInputs(
        identity, subject, None, Programs(asked.programs), {}, asked.cells, asked.settings, bootstrap=99, seed=seed
    )


def _random(made: World, name: str, seed: int) -> list[str]:
    """Return a random set of perturbations as large as a planted program."""
    rng = generator(seed, "calibration", "random", NAME, name)
    return rng.choice(made.perturbations, len(made.programs[name]), replace=False).tolist()
