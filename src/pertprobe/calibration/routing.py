"""routing_coherence calibrated: strength as the common cause, power, its planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.stats import pearsonr

from pertprobe import evidence
from pertprobe.calibration import generators
from pertprobe.calibration.nulls import ALPHA, Draw, Question, drawn_program, null_rows, used, way
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, STRONG, models_of
from pertprobe.calibration.power_curves import EFFECTS, MEMBERS, UNITS, WHY
from pertprobe.calibration.table import FALSE_POSITIVES, POWER, PUBLISHED, entry, false_positive_bar, frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, drawn, fresh
from pertprobe.calibration.untrained import FIGURE as UNTRAINED_FIGURE
from pertprobe.calibration.world import CONTEXTS, World, passing, world
from pertprobe.measuring import measure_shard
from pertprobe.models.planting import loadings, noise_codes
from pertprobe.probes import delta_y
from pertprobe.probes import routing_coherence as probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.programs import Programs
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.permutation import Test, coherence
from pertprobe.statistics.similarity import centred, cosine_similarity, without_shared
from pertprobe.testing import Asked, run_test

NAME = "routing_coherence"
CORRELATION = f"{NAME}, correlation"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with those of config/schema.yaml."""
SETTINGS = {"at": "mean_cell", "perturbations": "all", "choose": "strongest", "clusters": 15, "sketch": 4096}
AGREEMENTS = (0.05, 0.1, 0.2, 0.4)
"""Shares of the variance of routes and answers that are one, beside strength."""
POSITIVE = 0.3
"""The published threshold on r."""

Sizes = Mapping[str, Any]


class Routes(NamedTuple):
    """Routes and answers of the same perturbations, and how strong they are."""

    routes: np.ndarray
    """[units, width]."""
    answers: np.ndarray
    """[units, outputs]."""
    strength: np.ndarray
    """Norm of each answer [units]."""


def routes(rng: Generator, units: int, agree: float = 0.0) -> Routes:
    """Draw routes and answers that both hold a shared direction in proportion to strength, and both vary with it.

    Beside it they share a part `agree` of their variance: none where nothing is to be found.
    """
    latent = rng.lognormal(0, generators.SPREAD, units)[:, None]
    common = rng.normal(size=(units, generators.NOISE))
    sides = []
    for width in (generators.OUTPUTS, generators.WIDTH):
        own = np.sqrt(1 - agree) * rng.normal(size=(units, generators.NOISE)) + np.sqrt(agree) * common
        basis = rng.normal(size=(generators.NOISE + 1, width)) / np.sqrt(width)
        sides.append(np.column_stack([np.sqrt(latent) * own, generators.SHARED * latent]) @ basis)
    return Routes(*sides, np.linalg.norm(sides[1], axis=1))


def correlated(made: Routes, permutations: int, rng: Generator) -> Test:
    """Test whether like answers have like routes, as the probe does."""
    sides = (cosine_similarity(without_shared(each)) for each in (made.routes, made.answers))
    return mantel(*sides, permutations, rng, strength=made.strength)


def nulls_correlation(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return how often routes pass that are alike by strength alone (inference.md 17 e), by p and as published.

    One row for the p with strength held, one for Pearson's p over pairs, one for a published r above 0.3.
    """
    rng, found = generator(seed, "calibration", "nulls", CORRELATION), []
    for _ in range(sizes["draws_dear"]):
        made = routes(rng, UNITS)
        raw = (probe.upper(cosine_similarity(each)) for each in (made.routes, made.answers))
        found.append((used(correlated(made, sizes["permutations"], rng)), *pearsonr(*raw)))
    p, r, plain = np.array(found).T
    words, bar = "strength is the common cause", {"sense": "at most", "bound": false_positive_bar(p.size)}
    share_of = [
        entry(FALSE_POSITIVES, CORRELATION, words, (p < ALPHA).mean(), p.size, level=ALPHA, **bar),
        entry(PUBLISHED, CORRELATION, f"{words}, p over pairs", (plain < ALPHA).mean(), p.size, level=ALPHA),
        entry(PUBLISHED, CORRELATION, f"{words}, r > {POSITIVE}", (r > POSITIVE).mean(), p.size, level=ALPHA),
    ]
    return frame(share_of)


def nulls_uniform(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly (inference.md 17 a)."""
    return _nulls(sizes, seed, confounded=False)


def nulls_confounded(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of programs drawn by strength, whose members' routes share its direction (b)."""
    return _nulls(sizes, seed, confounded=True)


def _nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    def make(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        made = routes(rng, generators.UNITS)
        return cosine_similarity(centred(made.routes)), made.strength

    def ask(made: tuple[np.ndarray, np.ndarray], rng: Generator, n: int, published: bool) -> Draw:
        similarity, strength = made
        members = drawn_program(rng, n, strength, confounded)
        return Draw(coherence(similarity, members, strength, sizes["permutations"], rng), rng.random(), None)

    question = Question(make, ask)
    return frame(null_rows(NAME, way(confounded), question, sizes["draws"], sizes, seed, exact=not confounded))


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found: of programs, by d, and of the correlation, by what is shared."""
    rows = []
    for n in MEMBERS:
        for d in EFFECTS:
            rng = generator(seed, "calibration", "power", NAME, n, d)
            tests = [_planted_test(rng, n, d, sizes["permutations"]) for _ in range(sizes["draws"])]
            found = np.array([used(test) < ALPHA for test in tests])
            rows.append(entry(POWER, NAME, f"{n} of {UNITS}, d = {d:g}", found.mean(), len(found), note=WHY))
    for agree in AGREEMENTS:
        rng = generator(seed, "calibration", "power", CORRELATION, agree)
        tests = [correlated(routes(rng, UNITS, agree), sizes["permutations"], rng) for _ in range(sizes["draws"])]
        found = np.array([used(test) < ALPHA for test in tests])
        words = f"{UNITS} perturbations, {agree:.0%} of variance shared"
        rows.append(entry(POWER, CORRELATION, words, found.mean(), len(found)))
    return frame(rows)


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test routes that are what codes are, as in the planted model; strength is drawn apart."""
    inside = np.arange(UNITS)[:, None] < n
    noise = noise_codes([f"p{i}" for i in range(UNITS)], seed_of(int(rng.integers(2**31)), "power"))
    codes = np.column_stack([noise, inside * loadings(inside, d)])
    strength = rng.lognormal(0, generators.SPREAD, UNITS)
    return coherence(cosine_similarity(centred(codes)), np.arange(n), strength, permutations, rng)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs found where routes were planted: in a mechanism, and in a lookup without a bound.

    A derivative by the code is the same in both (inference.md 9). Judged under the default thresholds without
    exceeds_redrawn, which a closed form does not have.
    """
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed)]
    return frame(rows)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    conditions = [each for each in CONDITIONS if each[0] != "exceeds_redrawn"]
    random = {f"random_{name}": random_program(made, NAME, name, seed) for name in made.programs}
    for kind in ("planted", "lookup"):
        tables = [_planted_table(made, context, kind, random, d, sizes, seed) for context in CONTEXTS]
        table = pd.concat(tables, ignore_index=True)
        table = table[table.program != ""]
        at_random = table.program.isin(random)
        bar = FOUND if d == STRONG and kind == "planted" else {}
        for words, mine, asked in (("planted", ~at_random, bar), ("random", at_random, NOMINAL)):
            family = evidence.with_q(table[mine], probe.CONTROLLED, probe.CONTROLLED)
            setting = f"{words} programs, {'mechanistic' if kind == 'planted' else 'lookup'}, d = {d:g}"
            yield share(PLANTED_FIGURE, NAME, setting, passing(family, conditions), seed=seed, **asked)


def _planted_table(
    made: World, context: str, kind: str, random: Mapping[str, list[str]], d: float, sizes: Sizes, seed: int
) -> pd.DataFrame:
    inputs = inputs_of(made, context, None, SETTINGS, seed)
    model = probe.plant(inputs, models_of(made, context, d, seed))[kind]
    inputs = inputs_of(made, context, model, SETTINGS, seed)
    found = measure_shard(NAME, inputs, 0, 1).sel(variant="subject", drop=True)
    subject = Subject(found, strength_of(inputs), pd.Series(dtype=object))
    programs = Programs({**made.programs, **random})
    return evidence.frame(probe.controlled(question_of(NAME, context, subject, inputs, programs, sizes, seed)))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model.

    And whether the correlation of all perturbations exceeds that of every copy.
    """
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
        table = run_test(NAME, Asked(question_of(NAME, context, subject, inputs, programs, sizes, seed)))
        mine = table[(table.role == "subject") & (table.adjustment == "centred")]
        yield from both_nulls(NAME, mine[mine.statistic == probe.CONTROLLED], words, seed)
    overall = mine[mine.statistic == probe.CORRELATION].exceeds_redrawn.fillna(False).to_numpy(dtype=bool)
    note = f"{1 / (2 * COPIES + 1):.3f} by chance"
    yield share(UNTRAINED_FIGURE, CORRELATION, "all perturbations, exceeds_redrawn", overall, seed=seed, note=note)


def both_nulls(name: str, rows: pd.DataFrame, words: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the share of programs that pass the permutation null, the architecture null, and both."""
    rows = rows[rows.evaluable]
    low = rows.p.where(rows.p_used != "p_stratified", rows.p_stratified).to_numpy() < ALPHA
    largest = rows.exceeds_redrawn.fillna(False).to_numpy(dtype=bool)
    yield share(UNTRAINED_FIGURE, name, f"{words}, p < 0.05", low, seed=seed)
    note = f"{1 / (2 * COPIES + 1):.3f} by chance"
    yield share(UNTRAINED_FIGURE, name, f"{words}, exceeds_redrawn", largest, seed=seed, note=note)
    yield share(UNTRAINED_FIGURE, name, f"{words}, both", low & largest, seed=seed, sense="at most", level=ALPHA)


def inputs_of(made: World, context: str, model: Any, settings: Mapping[str, Any], seed: int) -> MeasureInputs:
    """Return what a model of the world is measured with in one context."""
    return MeasureInputs(model, made.cells[context], settings, contexts=tuple(made.cells.values()), seed=seed)


def strength_of(inputs: MeasureInputs) -> pd.Series:
    """Return the strength of every perturbation in the model."""
    return delta_y.strength(measure_shard("delta_y", inputs, 0, 1))


def question_of(
    name: str, context: str, subject: Subject, inputs: MeasureInputs, programs: Programs, sizes: Sizes, seed: int,
    reference: Subject | None = None,
) -> TestInputs:  # fmt: skip
    """Return what a probe is asked of a model, or of it and another context's."""
    identity = {"probe": name, "model": context, "reference": "other" if reference else "", "context": context}
    return TestInputs(
        {**identity, "regime": "unknown"}, subject, reference, programs, {}, inputs.cells, inputs.settings,
        comparison="contexts" if reference else "", permutations=sizes["permutations"], bootstrap=99, seed=seed,
    )  # fmt: skip


def random_program(made: World, probe_name: str, name: str, seed: int) -> list[str]:
    """Return a random set of perturbations as large as a planted program."""
    rng = generator(seed, "calibration", "random", probe_name, name)
    return rng.choice(made.perturbations, len(made.programs[name]), replace=False).tolist()
