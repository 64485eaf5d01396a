"""detached_jacobian calibrated: parts of responses without signal, power, its planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration import generators
from pertprobe.calibration.nulls import ALPHA, Draw, Question, drawn_program, null_rows, used, way
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, STRONG, WORDS, models_of
from pertprobe.calibration.power_curves import EFFECTS, MEMBERS, UNITS, WHY
from pertprobe.calibration.routing import both_nulls, inputs_of, question_of, random_program, strength_of
from pertprobe.calibration.table import POWER, entry, frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, drawn, fresh
from pertprobe.calibration.world import CONTEXTS, World, passing, world
from pertprobe.measuring import measure_derived, measure_shard
from pertprobe.models.planting import loadings, noise_codes
from pertprobe.probes import detached_jacobian as probe
from pertprobe.probes.base import Subject
from pertprobe.programs import Programs
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.permutation import Test, coherence
from pertprobe.testing import Asked, run_test

NAME = "detached_jacobian"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0.05), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with those of config/schema.yaml."""
SETTINGS = {"at": ["control"], "vectors": 4, "copy_sets": 1}
THROUGH = 0.3
"""Share of a response that comes through the cells where nothing is to be found."""

Sizes = Mapping[str, Any]


class Parts(NamedTuple):
    """Responses, and as much of them as comes through the cells."""

    whole: np.ndarray
    """[units, outputs]."""
    cells: np.ndarray
    """[units, outputs]."""

    @property
    def similarity(self) -> np.ndarray:
        """What the cells add to the cosines of responses [units, units]."""
        return probe.shared_part(self.cells, self.whole)

    @property
    def strength(self) -> np.ndarray:
        """Norm of each response [units]."""
        return np.linalg.norm(self.whole, axis=1)


def parts(rng: Generator) -> Parts:
    """Draw responses that hold a shared direction in proportion to strength, and parts that are a share of them.

    A part is THROUGH of its response and as much again of its own, which grows with strength too.
    """
    codes, strength = generators.dense(rng)
    whole = codes @ (rng.normal(size=(codes.shape[1], generators.OUTPUTS)) / np.sqrt(codes.shape[1]))
    own = (strength[:, None] / strength.mean()) * rng.normal(size=whole.shape) * whole.std()
    return Parts(whole, THROUGH * (whole + own))


def nulls_uniform(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (inference.md 17 a)."""
    return _nulls(sizes, seed, confounded=False)


def nulls_confounded(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn by strength, whose members share its direction (b)."""
    return _nulls(sizes, seed, confounded=True)


def _nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    def make(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        made = parts(rng)
        return made.similarity, made.strength

    def ask(made: tuple[np.ndarray, np.ndarray], rng: Generator, n: int, published: bool) -> Draw:
        similarity, strength = made
        members = drawn_program(rng, n, strength, confounded)
        return Draw(coherence(similarity, members, strength, sizes["permutations"], rng), rng.random(), None)

    question = Question(make, ask)
    return frame(null_rows(NAME, way(confounded), question, sizes["draws"], sizes, seed, exact=not confounded))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found where all of a response comes through the cells, by d."""
    rows = []
    for n in MEMBERS:
        for d in EFFECTS:
            rng = generator(seed, "calibration", "power", NAME, n, d)
            tests = [_planted_test(rng, n, d, sizes["permutations"]) for _ in range(sizes["draws"])]
            found = np.array([used(test) < ALPHA for test in tests])
            rows.append(entry(POWER, NAME, f"{n} of {UNITS}, d = {d:g}", found.mean(), len(found), note=WHY))
    return frame(rows)


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    inside = np.arange(UNITS)[:, None] < n
    noise = noise_codes([f"p{i}" for i in range(UNITS)], seed_of(int(rng.integers(2**31)), "power"))
    codes = np.column_stack([noise, inside * loadings(inside, d)])
    strength = rng.lognormal(0, generators.SPREAD, UNITS)
    return coherence(Parts(codes, codes).similarity, np.arange(n), strength, permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs found in a mechanism, and in a lookup and co-variation, which answer by themselves.

    Judged under the default thresholds without exceeds_redrawn, which a closed form does not have.
    """
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed)]
    return frame(rows)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    conditions = [each for each in CONDITIONS if each[0] != "exceeds_redrawn"]
    random = {f"random_{name}": random_program(made, NAME, name, seed) for name in made.programs}
    tables = pd.concat([_planted_table(made, context, random, d, sizes, seed) for context in CONTEXTS])
    for kind, words in WORDS.items():
        table = tables[tables.role == kind].assign(role="subject")
        at_random = table.program.isin(random)
        mechanism = FOUND if d == STRONG else {}
        bars = {"planted": mechanism if kind == "planted" else NOMINAL, "random": NOMINAL}
        for programs, mine in (("planted", ~at_random), ("random", at_random)):
            family = evidence.with_q(table[mine].reset_index(drop=True), probe.CONTROLLED, probe.CONTROLLED)
            passed = passing(family, conditions)
            setting = f"{programs} programs, {words}, d = {d:g}"
            yield share(PLANTED_FIGURE, NAME, setting, passed, seed=seed, **bars[programs])


def _planted_table(
    made: World, context: str, random: Mapping[str, list[str]], d: float, sizes: Sizes, seed: int
) -> pd.DataFrame:
    """Return the rows of all planted models of one context, matched by the strength of the mechanism."""
    models = models_of(made, context, d, seed)
    inputs = inputs_of(made, context, models["planted"], SETTINGS, seed)
    found = measure_derived(NAME, inputs, models)
    whole = found["delta_y"].sel(variant="planted").to_pandas()
    strength = pd.Series(np.linalg.norm(whole, axis=1), whole.index)
    programs = Programs({**made.programs, **random})
    rows = []
    for kind in WORDS:
        subject = Subject(found.sel(variant=kind, drop=True), strength, pd.Series(dtype=object))
        asked = question_of(NAME, context, subject, inputs, programs, sizes, seed)
        rows += list(probe.controlled(asked.as_role(kind)))
    return evidence.frame(rows)


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        rows = [row for context in CONTEXTS[:1] for row in _untrained_rows(made, context, sizes, seed)]
    return frame(rows)


def _untrained_rows(made: World, context: str, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    inputs = inputs_of(made, context, fresh(made, context, sizes["hidden"], seed), SETTINGS, seed)
    strength = strength_of(inputs)
    found = measure_shard(NAME, inputs, 0, 1, redrawn=COPIES, seed=seed_of(seed, "copies", context))
    for words in WAYS:
        programs = drawn(strength, words, sizes, seed)
        subject = Subject(found, strength, pd.Series(dtype=object))
        asked = question_of(NAME, context, subject, inputs, programs, sizes, seed)
        table = run_test(NAME, Asked(asked))
        mine = table[(table.role == "subject") & (table.statistic == probe.CONTROLLED)]
        yield from both_nulls(NAME, mine, words, seed)
