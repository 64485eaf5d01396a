"""input_sensitivity calibrated: ranks of genes without signal, power, its planted models, and untrained weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration import generators
from pertprobe.calibration.nulls import ALPHA, Draw, Question, drawn_program, null_rows, used, way
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import NOMINAL, STRONG, WORDS, models_of
from pertprobe.calibration.power_curves import ASKED, EFFECTS, MEMBERS, UNITS
from pertprobe.calibration.routing import both_nulls, inputs_of, question_of
from pertprobe.calibration.table import POWER, at_least, entry, frame, share
from pertprobe.calibration.untrained import COPIES, fresh
from pertprobe.calibration.world import CONTEXTS, World, world
from pertprobe.measuring import measure_shard
from pertprobe.probes import input_sensitivity as probe
from pertprobe.probes.base import Subject
from pertprobe.programs import Programs
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.permutation import Test, mean_score
from pertprobe.statistics.ranks import mid_ranks
from pertprobe.testing import Asked, run_test

NAME = "input_sensitivity"
SETTINGS = {"perturbation": "control", "noise": [1], "draws": 1, "copy_sets": 1}
GENES = 5
"""Genes of a random program."""

Sizes = Mapping[str, Any]


class Genes(NamedTuple):
    """Genes as the probe sees them."""

    ranks: np.ndarray
    """Of the gradient of the output by each, in (0, 1)."""
    expression: np.ndarray
    """Mean expression."""


def genes(rng: Generator, units: int) -> Genes:
    """Draw genes whose gradients grow with their expression, as models learn most of these, and differ by chance."""
    expression = rng.lognormal(0, generators.SPREAD, units)
    gradient = expression * rng.lognormal(0, generators.SPREAD, units)
    return Genes(mid_ranks(gradient[:, None], np.zeros((units, 1)))[:, 0], expression)


def nulls_uniform(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (inference.md 17 a)."""
    return _nulls(sizes, seed, confounded=False)


def nulls_confounded(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs of highly expressed genes, which the output answers to more (c)."""
    return _nulls(sizes, seed, confounded=True)


def _nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    def make(rng: Generator) -> Genes:
        return genes(rng, generators.UNITS)

    def ask(made: Genes, rng: Generator, n: int, published: bool) -> Draw:
        found = drawn_program(rng, n, made.expression, confounded)
        test = mean_score(made.ranks, found, made.expression, sizes["permutations"], rng)
        return Draw(test, rng.random(), None)

    words = "highly expressed programs" if confounded else way(confounded)
    return frame(null_rows(NAME, words, Question(make, ask), sizes["draws"], sizes, seed, exact=not confounded))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of members in sd of all others' ranks."""
    rows = []
    for n in MEMBERS:
        for d in EFFECTS:
            rng = generator(seed, "calibration", "power", NAME, n, d)
            tests = [_shifted_test(rng, n, d, sizes["permutations"]) for _ in range(sizes["draws"])]
            found = np.array([used(test) < ALPHA for test in tests])
            must = (n, d) == ASKED
            bar = {"sense": "at least", "bound": at_least(len(found), 0.95), "level": 0.95} if must else {}
            rows.append(entry(POWER, NAME, f"{n} of {UNITS}, d = {d:g}", found.mean(), len(found), **bar))
    return frame(rows)


def _shifted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test genes of which n have ranks d sd of all others higher; which they are has nothing to do with expression."""
    made = genes(rng, UNITS)
    ranks = made.ranks.copy()
    ranks[:n] += d * ranks[n:].std(ddof=1)
    return mean_score(ranks, np.arange(n), made.expression, permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return how often the regulators of a program rank among the inputs under one of its perturbations.

    The mechanism reads them through a gate that the perturbation opens, the lookup and co-variation do not. Programs
    are the regulators of one panel; each is asked under the member of its program that acts most. p < 0.05.
    """
    with world(sizes["simulate"], seed) as made:
        found = {(kind, d): [] for kind in WORDS for d in (sizes["d"], STRONG)}
        for d in (sizes["d"], STRONG):
            for context in CONTEXTS:
                models = models_of(made, context, d, seed)
                for kind in WORDS:
                    found[kind, d] += _regulators_found(made, context, models[kind], sizes, seed)
    rows = []
    for (kind, d), passed in found.items():
        bar = {} if kind == "planted" else NOMINAL
        rows.append(share(PLANTED_FIGURE, NAME, f"regulators, {WORDS[kind]}, d = {d:g}", passed, seed=seed, **bar))
    return frame(rows)


def _regulators_found(made: World, context: str, model: Any, sizes: Sizes, seed: int) -> Sequence[bool]:
    cells = made.cells[context]
    strengths = {
        name: float(
            (model.predict(cells.values, name) - model.predict(cells.values, model.control)).mean((0, 1)).norm()
        )
        for name in made.perturbations
    }
    passed = []
    for name, panel in made.panels.items():
        acting = max(made.programs[panel["program"]], key=strengths.__getitem__)
        inputs = inputs_of(made, context, model, {**SETTINGS, "perturbation": acting}, seed)
        measured = measure_shard(NAME, replace(inputs, role="planted"), 0, 1).sel(variant="subject", drop=True)
        subject = Subject(measured, pd.Series(strengths), pd.Series(dtype=object))
        asked = question_of(NAME, context, subject, inputs, Programs({name: panel["regulators"]}), sizes, seed)
        passed += (_used(evidence.frame(probe.controlled(asked))) < ALPHA).tolist()
    return passed


def _used(rows: pd.DataFrame) -> pd.Series:
    return rows.p.where(rows.p_used != "p_stratified", rows.p_stratified)


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        rows = [row for context in CONTEXTS[:1] for row in _untrained_rows(made, context, sizes, seed)]
    return frame(rows)


def _untrained_rows(made: World, context: str, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    inputs = inputs_of(made, context, fresh(made, context, sizes["hidden"], seed), SETTINGS, seed)
    found = measure_shard(NAME, inputs, 0, 1, redrawn=COPIES, seed=seed_of(seed, "copies", context))
    expression = inputs.cells.values.mean(axis=(0, 1), dtype=np.float64)
    for confounded in (False, True):
        rng = generator(seed, "calibration", "untrained", NAME, confounded)
        sets = {
            f"random_{i}": drawn_program(rng, GENES, expression + 1e-3, confounded) for i in range(sizes["programs"])
        }
        programs = Programs({name: [inputs.cells.genes[j] for j in each] for name, each in sets.items()})
        subject = Subject(found, pd.Series(dtype=float), pd.Series(dtype=object))
        table = run_test(NAME, Asked(question_of(NAME, context, subject, inputs, programs, sizes, seed)))
        mine = table[(table.role == "subject") & (table.statistic == probe.CONTROLLED)]
        yield from both_nulls(NAME, mine, "highly expressed programs" if confounded else way(confounded), seed)
