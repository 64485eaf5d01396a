"""activation_patching calibrated: programs without signal, power, its planted model, and untrained weights."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.nulls import program_nulls
from pertprobe.calibration.planted import FOUND, STRONG, beside_random, random_programs
from pertprobe.calibration.power_curves import NAMES, UNITS, codes_seed, power_rows
from pertprobe.calibration.table import frame
from pertprobe.calibration.untrained import both_nulls, fresh, fresh_tables
from pertprobe.calibration.world import CONTEXTS, World, inputs_of, question_of, world
from pertprobe.measuring import measure_shard
from pertprobe.models.planting import noise_codes
from pertprobe.models.routed import placed
from pertprobe.naming import contrast
from pertprobe.probes import activation_patching as probe
from pertprobe.probes.base import Subject, itself
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.permutation import Test, mean_score

NAME = "activation_patching"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
SETTINGS = {"random": 1}

Sizes = Mapping[str, Any]


class Layer(NamedTuple):
    """What perturbations do to a layer, and through a linear map to the output."""

    changes: np.ndarray
    """[units, width]."""
    readout: np.ndarray
    """[width, outputs]."""

    @property
    def strength(self) -> np.ndarray:
        """Norm of each response [units]."""
        return np.linalg.norm(self.changes @ self.readout, axis=1)

    def shares(self, named: np.ndarray) -> np.ndarray:
        """Return the share of each response that a patch along the direction of the named ones recovers [units]."""
        direction = contrast(self.changes, named)
        moved = np.outer(self.changes @ direction, direction @ self.readout) / (direction @ direction)
        response = self.changes @ self.readout
        return (moved * response).sum(axis=1) / (response**2).sum(axis=1)


def held_out_test(layer: Layer, members: np.ndarray, permutations: int, rng: Generator) -> Test:
    """Test members as the probe does: a random half names the direction, the others are scored."""
    named = np.isin(np.arange(len(layer.changes)), rng.permutation(members)[: len(members) // 2])
    pool = np.flatnonzero(~named)
    scored = np.flatnonzero(np.isin(pool, members))
    return mean_score(layer.shares(named)[pool], scored, layer.strength[pool], permutations, rng)


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly, or by strength, which codes share (methods.md, Calibration)."""

    def test(made: Layer, members: np.ndarray, rng: Generator) -> Test:
        """Test a program as the probe does."""
        return held_out_test(made, members, sizes["permutations"], rng)

    return frame(program_nulls(NAME, _layer, test, sizes, seed, confounded=confounded))


def _layer(rng: Generator) -> Layer:
    """Draw a layer in which no program has a direction."""
    codes = generators.dense(rng).values
    return Layer(codes, rng.normal(size=(codes.shape[1], generators.OUTPUTS)) / np.sqrt(codes.shape[1]))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of held-out members in sd of all others' shares."""

    def note(n: int) -> str:
        """Say how many of n members are scored."""
        return f"{n - n // 2} score; shares of all others are skewed"

    return frame(power_rows(NAME, _planted_test, sizes, seed, note=note))


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test codes in which held-out members recover d sd more, read out as they are; strength is drawn apart."""
    inside, named = (np.arange(UNITS)[:, None] < size for size in (n, n // 2))
    codes = placed(noise_codes(NAMES, codes_seed(rng)), inside, named, d)
    shares = Layer(codes, np.eye(codes.shape[1])).shares(named[:, 0])
    strength = rng.lognormal(0, generators.SPREAD, UNITS)
    pool = np.arange(n // 2, UNITS)
    return mean_score(shares[pool], np.arange(n - n // 2), strength[pool], permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs found in the planted model of one simulated data set, and of random ones beside.

    The model's response is read out of its code (`probes.activation_patching.plant`); it is judged under the default
    thresholds without exceeds_redrawn, which a closed form does not have.
    """
    with world(sizes["simulate"], seed) as made:
        strong = [share_row for d in (sizes["d"], STRONG) for share_row in _planted_rows(made, d, sizes, seed)]
    return frame(strong)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    random = random_programs(made, seed, NAME)
    table = pd.concat([_planted_table(made, context, random, d, sizes, seed) for context in CONTEXTS])
    settings = f"planted programs, d = {d:g}", f"random programs beside, d = {d:g}"
    bar = FOUND if d == STRONG else {}
    yield from beside_random(NAME, table, declared(NAME).compared_in, CONDITIONS, random, bar, settings, seed)


def _planted_table(made: World, context: str, random: Programs, d: float, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of planted and random programs in one context, a model of its own; strength is drawn apart."""
    base = fresh(made, context, 16, seed)
    base.card |= {"d": d, "seed": seed_of(seed, context)}
    inputs = inputs_of(made, context, base, SETTINGS, seed, programs=made.programs)
    model = probe.plant(inputs, {"planted": base})["planted"]
    asked = replace(inputs, model=model, programs=made.programs | random, role="planted")
    found = itself(measure_shard(NAME, asked, 0, 1))
    drawn_apart = generator(seed, "calibration", "strength", NAME).lognormal(
        0, generators.SPREAD, len(made.perturbations)
    )
    subject = Subject(found, pd.Series(drawn_apart, made.perturbations), pd.Series(dtype=object))
    question = question_of(NAME, context, subject, asked, asked.programs, sizes, seed)
    return evidence.frame(probe.controlled(question))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        return frame(
            row
            for words, table in fresh_tables(NAME, made, SETTINGS, sizes, seed, by_program=True)
            for row in both_nulls(NAME, table, declared(NAME).compared_in, words, seed)
        )
