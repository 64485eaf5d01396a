"""routing_coherence calibrated: strength as the common cause, power, its planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.stats import pearsonr

from pertprobe import evidence
from pertprobe.calibration.nulls import ALPHA, Similar, coherence_nulls, used
from pertprobe.calibration.planted import FOUND, STRONG, beside_random, models_of, random_programs
from pertprobe.calibration.power_curves import UNITS, WHY, coherent, power_row, power_rows
from pertprobe.calibration.table import FALSE_POSITIVES, PUBLISHED, entry, false_positive_bar, frame, share
from pertprobe.calibration.untrained import BY_CHANCE, both_nulls, exceeding, fresh_tables
from pertprobe.calibration.untrained import FIGURE as UNTRAINED_FIGURE
from pertprobe.calibration.world import CONTEXTS, World, inputs_of, question_of, strength_of, world
from pertprobe.measuring import measure_shard
from pertprobe.probes import routing_coherence as probe
from pertprobe.probes.base import Subject, itself
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.permutation import Test
from pertprobe.statistics.similarity import centred, cosine_similarity, without_shared

NAME = "routing_coherence"
CORRELATION = f"{NAME}, correlation"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0), ("exceeds_redrawn", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
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
    """Return how often routes pass that are alike by strength alone, by p and as published.

    One row for the p with strength held, one for Pearson's p over pairs, one for a published r above 0.3
    (methods.md, Routing coherence).
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


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs drawn uniformly, or by strength, which routes share (methods.md, Calibration)."""
    return frame(coherence_nulls(NAME, _similar, sizes, seed, confounded=confounded))


def _similar(rng: Generator) -> Similar:
    """Draw routes as the coherence test sees them."""
    made = routes(rng, generators.UNITS)
    return Similar(cosine_similarity(centred(made.routes)), made.strength)


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found: of programs, by d, and of the correlation, by what is shared.

    Routes in which a program is planted are what codes are in the planted model; strength is drawn apart.
    """
    rows = [*power_rows(NAME, coherent, sizes, seed, note=WHY)]
    for agree in AGREEMENTS:
        rng = generator(seed, "calibration", "power", CORRELATION, agree)
        tests = [correlated(routes(rng, UNITS, agree), sizes["permutations"], rng) for _ in range(sizes["draws"])]
        rows.append(power_row(CORRELATION, f"{UNITS} perturbations, {agree:.0%} of variance shared", tests))
    return frame(rows)


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs found where routes were planted: in a mechanism, and in a lookup without a bound.

    A derivative by the code is the same in both (methods.md, Routing coherence). Judged under the default thresholds
    without exceeds_redrawn, which a closed form does not have.
    """
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in (sizes["d"], STRONG) for row in _planted_rows(made, d, sizes, seed)]
    return frame(rows)


def _planted_rows(made: World, d: float, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    random = random_programs(made, seed, NAME)
    for kind, words in (("planted", "mechanistic"), ("lookup", "lookup")):
        tables = [_planted_table(made, context, kind, random, d, sizes, seed) for context in CONTEXTS]
        settings = tuple(f"{programs} programs, {words}, d = {d:g}" for programs in ("planted", "random"))
        bar = FOUND if d == STRONG and kind == "planted" else {}
        compared = declared(NAME).compared_in
        yield from beside_random(NAME, pd.concat(tables), compared, CONDITIONS, random, bar, settings, seed)


def _planted_table(
    made: World, context: str, kind: str, random: Programs, d: float, sizes: Sizes, seed: int
) -> pd.DataFrame:
    inputs = inputs_of(made, context, None, SETTINGS, seed)
    model = probe.plant(inputs, models_of(made, context, d, seed))[kind]
    inputs = inputs_of(made, context, model, SETTINGS, seed)
    found = itself(measure_shard(NAME, inputs, 0, 1))
    subject = Subject(found, strength_of(inputs), pd.Series(dtype=object))
    programs = made.programs | random
    return evidence.frame(probe.controlled(question_of(NAME, context, subject, inputs, programs, sizes, seed)))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model.

    And whether the correlation of all perturbations exceeds that of every copy.
    """
    rows: list[dict[str, Any]] = []
    with world(sizes["simulate"], seed) as made:
        for words, table in fresh_tables(NAME, made, SETTINGS, sizes, seed):
            rows += both_nulls(NAME, table, declared(NAME).compared_in, words, seed)
    mine = (table.role == SUBJECT) & (table.adjustment == "centred") & (table.statistic == probe.CORRELATION)
    setting, largest = "all perturbations, exceeds_redrawn", exceeding(table[mine])
    return frame([*rows, share(UNTRAINED_FIGURE, CORRELATION, setting, largest, seed=seed, note=BY_CHANCE)])
