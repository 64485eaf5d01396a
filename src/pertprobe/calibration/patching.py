"""activation_patching calibrated: programs without signal, power, its planted model, and untrained weights."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration import generators
from pertprobe.calibration.nulls import ALPHA, Draw, Question, drawn_program, null_rows, used, way
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, STRONG
from pertprobe.calibration.power_curves import EFFECTS, MEMBERS, UNITS
from pertprobe.calibration.table import POWER, entry, frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, drawn, fresh
from pertprobe.calibration.untrained import FIGURE as UNTRAINED_FIGURE
from pertprobe.calibration.world import CONTEXTS, World, passing, world
from pertprobe.measuring import measure_shard
from pertprobe.models.planting import noise_codes
from pertprobe.models.routed import placed
from pertprobe.naming import contrast
from pertprobe.probes import activation_patching as probe
from pertprobe.probes import delta_y
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.programs import Programs
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.permutation import Test, mean_score
from pertprobe.testing import Asked, run_test

NAME = "activation_patching"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with those of config/schema.yaml."""
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


def nulls_uniform(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (inference.md 17 a)."""
    return _nulls(sizes, seed, confounded=False)


def nulls_confounded(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn by strength, whose members share the direction of strength (b)."""
    return _nulls(sizes, seed, confounded=True)


def _nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    def make(rng: Generator) -> Layer:
        codes = generators.dense(rng).values
        return Layer(codes, rng.normal(size=(codes.shape[1], generators.OUTPUTS)) / np.sqrt(codes.shape[1]))

    def ask(made: Layer, rng: Generator, n: int, published: bool) -> Draw:
        members = drawn_program(rng, n, made.strength, confounded)
        return Draw(held_out_test(made, members, sizes["permutations"], rng), rng.random(), None)

    question = Question(make, ask)
    return frame(null_rows(NAME, way(confounded), question, sizes["draws"], sizes, seed, exact=not confounded))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of held-out members in sd of all others' shares."""
    rows = []
    for n in MEMBERS:
        for d in EFFECTS:
            rng = generator(seed, "calibration", "power", NAME, n, d)
            tests = [_planted_test(rng, n, d, sizes["permutations"]) for _ in range(sizes["draws"])]
            found = np.array([used(test) < ALPHA for test in tests])
            note = f"{n - n // 2} score; shares of all others are skewed"
            rows.append(entry(POWER, NAME, f"{n} of {UNITS}, d = {d:g}", found.mean(), len(found), note=note))
    return frame(rows)


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test codes in which held-out members recover d sd more, read out as they are; strength is drawn apart."""
    inside, named = (np.arange(UNITS)[:, None] < size for size in (n, n // 2))
    noise = noise_codes([f"p{i}" for i in range(UNITS)], seed_of(int(rng.integers(2**31)), "power"))
    codes = placed(noise, inside, named, d)
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
    conditions = [each for each in CONDITIONS if each[0] != "exceeds_redrawn"]
    random = {f"random_{name}": _random(made, name, seed) for name in made.programs}
    tables = [_planted_table(made, context, random, d, sizes, seed) for context in CONTEXTS]
    table = pd.concat(tables, ignore_index=True)
    drawn_at_random = table.program.isin(random)
    for words, mine, bar in (
        ("planted programs", ~drawn_at_random, FOUND if d == STRONG else {}),
        ("random programs beside", drawn_at_random, NOMINAL),
    ):
        family = evidence.with_q(table[mine], probe.CONTROLLED, probe.CONTROLLED)
        passed = passing(family, conditions)
        yield share(PLANTED_FIGURE, NAME, f"{words}, d = {d:g}", passed, seed=seed, **bar)


def _planted_table(
    made: World, context: str, random: Mapping[str, list[str]], d: float, sizes: Sizes, seed: int
) -> pd.DataFrame:
    """Return the rows of planted and random programs in one context, a model of its own; strength is drawn apart."""
    base = fresh(made, context, 16, seed)
    base.card |= {"d": d, "seed": seed_of(seed, context)}
    inputs = _inputs(made, context, None, made.programs, seed)
    model = probe.plant(replace(inputs, model=base), {"planted": base})["planted"]
    asked = replace(inputs, model=model, programs=Programs({**made.programs, **random}), role="planted")
    found = measure_shard(NAME, asked, 0, 1).sel(variant="subject", drop=True)
    drawn_apart = generator(seed, "calibration", "strength", NAME).lognormal(
        0, generators.SPREAD, len(made.perturbations)
    )
    subject = Subject(found, pd.Series(drawn_apart, made.perturbations), pd.Series(dtype=object))
    return evidence.frame(probe.controlled(_question(context, subject, asked, sizes["permutations"], seed)))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        rows = [row for context in CONTEXTS[:1] for row in _untrained_rows(made, context, sizes, seed)]
    return frame(rows)


def _untrained_rows(made: World, context: str, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    model = fresh(made, context, sizes["hidden"], seed)
    strength = _strength(_inputs(made, context, model, {}, seed))
    for words in WAYS:
        programs = drawn(strength, words, sizes, seed)
        asked = _inputs(made, context, model, programs, seed)
        found = measure_shard(NAME, asked, 0, 1, redrawn=COPIES, seed=seed_of(seed, "copies", context))
        subject = Subject(found, strength, pd.Series(dtype=object))
        table = run_test(NAME, Asked(_question(context, subject, asked, sizes["permutations"], seed)))
        yield from _both(table[(table.statistic == probe.CONTROLLED) & (table.role == "subject")], words, seed)


def _both(rows: pd.DataFrame, words: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the share of programs that pass the permutation null, the architecture null, and both."""
    rows = rows[rows.evaluable]
    low = rows.p.where(rows.p_used != "p_stratified", rows.p_stratified).to_numpy() < ALPHA
    largest = rows.exceeds_redrawn.fillna(False).to_numpy(dtype=bool)
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, p < 0.05", low, seed=seed)
    note = f"{1 / (2 * COPIES + 1):.3f} by chance"
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, exceeds_redrawn", largest, seed=seed, note=note)
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, both", low & largest, seed=seed, sense="at most", level=ALPHA)


def _inputs(made: World, context: str, model: Any, programs: Mapping[str, Any], seed: int) -> MeasureInputs:
    return MeasureInputs(model, made.cells[context], SETTINGS, programs=programs, seed=seed)


def _strength(inputs: MeasureInputs) -> pd.Series:
    return delta_y.strength(measure_shard("delta_y", inputs, 0, 1))


def _question(context: str, subject: Subject, asked: MeasureInputs, permutations: int, seed: int) -> TestInputs:
    identity = {"probe": NAME, "model": context, "reference": "", "context": context, "regime": "unknown"}
    return TestInputs(
        identity, subject, None, Programs(asked.programs), {}, asked.cells, asked.settings,
        permutations=permutations, bootstrap=99, seed=seed,
    )  # fmt: skip


def _random(made: World, name: str, seed: int) -> list[str]:
    """Return a random set of perturbations as large as a planted program."""
    rng = generator(seed, "calibration", "random", NAME, name)
    return rng.choice(made.perturbations, len(made.programs[name]), replace=False).tolist()
