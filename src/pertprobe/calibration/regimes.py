"""regime_agreement calibrated: models that agree in strength alone, power, planted models, and untrained weights."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.borrowed import asked, whole_rows
from pertprobe.calibration.nulls import program_nulls
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, models_of
from pertprobe.calibration.power_curves import UNITS, power_rows
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, both_nulls, drawn, fresh
from pertprobe.calibration.world import CONTEXTS, Measured, World, family, measured, passing, world
from pertprobe.probes import regime_agreement as probe
from pertprobe.probes.declaration import declared
from pertprobe.probes.delta_y import strength
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.crossed import crossed_test, pearson_matrix
from pertprobe.statistics.permutation import Test, coherence
from pertprobe.statistics.similarity import centred, cosine_similarity
from pertprobe.testing import Asked, run_test
from pertprobe.verdict import of_planted

NAME, GAINED, ALL = "regime_agreement", "regime_agreement, gained", "regime_agreement, all perturbations"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
SETTINGS: dict[str, Any] = {"partners": []}

Sizes = Mapping[str, Any]


class Regimes:
    """Two models whose responses share one direction, and for each perturbation its size; nothing else agrees."""

    def __init__(self, rng: Generator, units: int = generators.UNITS) -> None:
        """Draw them."""
        size = rng.lognormal(0, generators.SPREAD, units)[:, None]
        common = rng.normal(size=generators.WIDTH)
        sides = [size * (common + rng.normal(size=(units, generators.WIDTH))) for _ in range(2)]
        self.strengths = tuple(np.linalg.norm(side, axis=1) for side in sides)
        nowhere, both = np.full(units, -1), [centred(side) for side in sides]
        self.r = pearson_matrix(*both, nowhere, nowhere)
        self.gained = np.subtract(*(cosine_similarity(side) for side in both))

    @property
    def first(self) -> np.ndarray:
        """Strength in the first model."""
        return self.strengths[0]

    @property
    def strength(self) -> np.ndarray:
        """Geometric mean of both models' strengths."""
        return np.sqrt(self.strengths[0] * self.strengths[1])


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly or by strength (methods.md, Calibration)."""

    def test(made: Regimes, found: np.ndarray, rng: Generator) -> Test:
        """Test the agreement of a program."""
        return crossed_test(made.r, *made.strengths, sizes["permutations"], rng, members=found).test

    def test_gained(made: Regimes, found: np.ndarray, rng: Generator) -> Test:
        """Test the coherence that one model has over the other."""
        return coherence(made.gained, found, made.strength, sizes["permutations"], rng)

    how = {"confounded": confounded, "draws": "draws_dear"}
    rows = [*program_nulls(NAME, Regimes, test, sizes, seed, by="first", **how)]
    rows += program_nulls(GAINED, Regimes, test_gained, sizes, seed, **how)
    if confounded:
        draw = partial(_all, sizes["permutations"])
        rows += whole_rows(ALL, "sizes that agree", draw, sizes["draws_dear"], seed, held=False)
    return frame(rows)


def _all(permutations: int, rng: Generator) -> Test:
    made = Regimes(rng)
    return crossed_test(made.r, *made.strengths, permutations, rng).test


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of r_ii in sd of what all others have of it."""
    return frame(power_rows(NAME, _planted_test, sizes, seed))


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    made, members = Regimes(rng, UNITS), generators.uniform(rng, n, UNITS)
    sd = crossed_test(made.r, *made.strengths, 1, rng, members=members).test.unit_sd
    made.r[members, members] += d * sd
    return crossed_test(made.r, *made.strengths, permutations, rng, members=members).test


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass between a planted model and itself, and itself under other names."""
    with world(sizes["simulate"], seed) as made:
        model = models_of(made, CONTEXTS[0], sizes["d"], seed)["planted"]
        found = measured("planted", model, made, CONTEXTS[0], ("delta_y",))
        same, other = (_passed(made, (found, each), sizes, seed) for each in (found, _renamed(found, seed)))
    return frame(
        [
            share(PLANTED_FIGURE, NAME, "the same responses", same, seed=seed, **FOUND),
            share(PLANTED_FIGURE, NAME, "responses under exchanged names", other, seed=seed, **NOMINAL),
        ]
    )


def _renamed(found: Measured, seed: int) -> Measured:
    """Return the same responses, each under the name of another perturbation."""
    responses = found.measurements["delta_y"]
    names = generator(seed, "calibration", "renamed").permutation(responses.perturbation.values)
    renamed = responses.assign_coords(perturbation=names).sortby("perturbation")
    return replace(found, name="renamed", measurements={"delta_y": renamed}, strength=strength(renamed))


def _passed(made: World, pair: tuple[Measured, Measured], sizes: Sizes, seed: int) -> np.ndarray:
    inputs = asked(NAME, "delta_y", *pair, made.programs, sizes, seed, settings=SETTINGS, comparison="regimes")
    table = evidence.frame(probe.controlled(inputs.as_role("subject")))
    return passing(family([table], declared(NAME).compared_in, declared(NAME).compared_in), of_planted(CONDITIONS))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of two models of fresh weights in one context."""
    with world(sizes["simulate"], seed) as made:
        found = [
            measured(name, fresh(made, name, sizes["hidden"], seed), made, CONTEXTS[0], ("delta_y",), redrawn=COPIES,
                     seed=seed_of(seed, "copies"))
            for name in ("few", "zero")
        ]  # fmt: skip
        rows: list[dict[str, Any]] = []
        for words in WAYS:
            programs = drawn(found[0].strength, words, sizes, seed)
            inputs = asked(NAME, "delta_y", *found, programs, sizes, seed, settings=SETTINGS, comparison="regimes")
            rows += both_nulls(NAME, run_test(NAME, Asked(inputs)), declared(NAME).compared_in, words, seed)
    return frame(rows)
