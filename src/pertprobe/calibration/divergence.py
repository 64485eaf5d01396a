"""jacobian_divergence calibrated: differences of all perturbations, power, planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.nulls import program_nulls
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, STRONG, WORDS, models_of
from pertprobe.calibration.power_curves import UNITS, power_rows
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import WAYS, both_nulls, drawn, fresh, with_copies
from pertprobe.calibration.world import CONTEXTS, World, inputs_of, passing, question_of, strength_of, world
from pertprobe.measuring import measure_shard
from pertprobe.probes import jacobian_divergence as probe
from pertprobe.probes.base import MeasureInputs, Subject, itself
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.permutation import Test, mean_score
from pertprobe.statistics.published import rank_sum_triples
from pertprobe.statistics.similarity import centred
from pertprobe.testing import Asked, run_test
from pertprobe.verdict import of_planted

NAME = "jacobian_divergence"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
SETTINGS = {"perturbations": "all", "sketch": 4096}
GENERAL = 2.0
"""Size of the difference that all perturbations have, beside what each has of its own."""

Sizes = Mapping[str, Any]


class Differences(NamedTuple):
    """How much perturbations differ between two contexts."""

    own: np.ndarray
    """Divergence beside what all share [units]."""
    strength: np.ndarray


def differences(rng: Generator, units: int = generators.UNITS) -> Differences:
    """Draw own divergences that grow with strength, beside a difference that all share."""
    strength = rng.lognormal(0, generators.SPREAD, units)
    own = np.sqrt(strength)[:, None] * rng.normal(size=(units, generators.WIDTH))
    differ = own + GENERAL * rng.normal(size=generators.WIDTH)
    return Differences(np.linalg.norm(centred(differ), axis=1), strength)


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly, or by strength, which differ more (methods.md, Calibration)."""

    def test(made: Differences, members: np.ndarray, rng: Generator) -> Test:
        """Test a program as the probe does."""
        return mean_score(made.own, members, made.strength, sizes["permutations"], rng)

    def said(made: Differences, members: np.ndarray, _: Generator) -> float:
        """Ask the published test."""
        return rank_sum_triples(made.own[members], np.delete(made.own, members)).p

    return frame(program_nulls(NAME, differences, test, sizes, seed, confounded=confounded, said=said))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of members' own divergence in sd of all others'."""
    return frame(power_rows(NAME, _planted_test, sizes, seed, must=True))


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    own, strength = differences(rng, UNITS)
    own[:n] += d * own[n:].std(ddof=1)
    return mean_score(own, np.arange(n), strength, permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass between two contexts, where the first acts on other genes in each.

    The other programs act alike in both. A lookup and co-variation differ alike under every perturbation: nothing is to
    be found in them.
    """
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed)]
    return frame(rows)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    every = {context: models_of(made, context, d, seed) for context in CONTEXTS}
    for kind in WORDS:
        bar = NOMINAL if kind != "planted" else FOUND if d == STRONG else {}
        yield from _rows_of(made, kind, every, f"d = {d:g}", bar, sizes, seed)


def _rows_of(
    made: World, kind: str, every: Mapping[str, Any], words: str, bar: Mapping[str, Any], sizes: Sizes, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield how many programs pass in one kind of models; `bar`: the bound of those that act elsewhere."""
    sides, inputs = [], None
    for context in CONTEXTS:
        model = probe.elsewhere(every[context][kind], context, programs=1)
        inputs = inputs_of(made, context, model, SETTINGS, seed)
        found = itself(measure_shard(NAME, inputs, 0, 1))
        sides.append(Subject(found, strength_of(inputs), pd.Series(dtype=object)))
    table = evidence.frame(probe.controlled(_question(sides, inputs, made.programs, sizes, seed)))
    family = evidence.with_q(table, declared(NAME).compared_in, declared(NAME).compared_in)
    passed = passing(family, of_planted(CONDITIONS))
    differs = family.program == next(iter(made.programs))
    for place, rows, bound in (("elsewhere", passed[differs], bar), ("alike", passed[~differs], NOMINAL)):
        yield share(PLANTED_FIGURE, NAME, f"{WORDS[kind]}, acts {place}, {words}", rows, seed=seed, **bound)


def _question(sides: list[Subject], inputs: MeasureInputs, programs: Programs, sizes: Sizes, seed: int) -> Any:
    return question_of(NAME, CONTEXTS[0], sides[0], inputs, programs, sizes, seed, sides[1])


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights in each of two contexts."""
    with world(sizes["simulate"], seed) as made:
        sides, inputs = [], None
        for context in CONTEXTS:
            inputs = inputs_of(made, context, fresh(made, context, sizes["hidden"], seed), SETTINGS, seed)
            sides.append(Subject(with_copies(NAME, inputs, seed), strength_of(inputs), pd.Series(dtype=object)))
        strength = np.sqrt(sides[0].strength * sides[1].strength)
        rows: list[dict[str, Any]] = []
        for words in WAYS:
            programs = drawn(strength, words, sizes, seed)
            table = run_test(NAME, Asked(_question(sides, inputs, programs, sizes, seed)))
            rows += both_nulls(NAME, table, declared(NAME).compared_in, words, seed)
    return frame(rows)
