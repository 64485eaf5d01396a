"""input_sensitivity calibrated: ranks of genes without signal, power, its planted models, and untrained weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.nulls import ALPHA, HIGH, drawn_program, program_nulls, way
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import NOMINAL, STRONG, WORDS, models_of
from pertprobe.calibration.power_curves import UNITS, power_rows
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import both_nulls, fresh, with_copies
from pertprobe.calibration.world import CONTEXTS, World, inputs_of, question_of, world
from pertprobe.evidence import used_p
from pertprobe.measuring import measure_shard
from pertprobe.probes import input_sensitivity as probe
from pertprobe.probes.base import Subject, itself
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.seeding import generator
from pertprobe.statistics import null_worlds as generators
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


def genes(rng: Generator, units: int = generators.UNITS) -> Genes:
    """Draw genes whose gradients grow with their expression, as models learn most of these, and differ by chance."""
    expression = rng.lognormal(0, generators.SPREAD, units)
    gradient = expression * rng.lognormal(0, generators.SPREAD, units)
    return Genes(mid_ranks(gradient[:, None], np.zeros((units, 1)))[:, 0], expression)


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (methods.md, Calibration), or of highly expressed genes.

    The output answers to these more.
    """

    def test(made: Genes, members: np.ndarray, rng: Generator) -> Test:
        """Test a program as the probe does."""
        return mean_score(made.ranks, members, made.expression, sizes["permutations"], rng)

    words = _way(confounded)
    return frame(program_nulls(NAME, genes, test, sizes, seed, confounded=confounded, words=words, by="expression"))


def _way(confounded: bool) -> str:
    return HIGH if confounded else way(confounded)


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of members in sd of all others' ranks."""
    return frame(power_rows(NAME, _shifted_test, sizes, seed, must=True))


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
        measured = itself(measure_shard(NAME, replace(inputs, role="planted"), 0, 1))
        subject = Subject(measured, pd.Series(strengths), pd.Series(dtype=object))
        asked = question_of(NAME, context, subject, inputs, Programs({name: panel["regulators"]}), sizes, seed)
        passed += (used_p(evidence.frame(probe.controlled(asked))) < ALPHA).tolist()
    return passed


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        return frame(_untrained_rows(made, CONTEXTS[0], sizes, seed))


def _untrained_rows(made: World, context: str, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    inputs = inputs_of(made, context, fresh(made, context, sizes["hidden"], seed), SETTINGS, seed)
    subject = Subject(with_copies(NAME, inputs, seed), pd.Series(dtype=float), pd.Series(dtype=object))
    expression = inputs.cells.values.mean(axis=(0, 1), dtype=np.float64)
    for confounded in (False, True):
        rng = generator(seed, "calibration", "untrained", NAME, confounded)
        sets = {
            f"random_{i}": drawn_program(rng, GENES, expression + 1e-3, confounded) for i in range(sizes["programs"])
        }
        programs = Programs({name: [inputs.cells.genes[j] for j in each] for name, each in sets.items()})
        table = run_test(NAME, Asked(question_of(NAME, context, subject, inputs, programs, sizes, seed)))
        yield from both_nulls(NAME, table, declared(NAME).compared_in, _way(confounded), seed)
