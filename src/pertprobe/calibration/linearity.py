"""knockout_linearity calibrated: predictions that foretell nothing, power, planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration import generators
from pertprobe.calibration.nulls import ALPHA, Draw, Question, null_rows, used
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, WORDS, models_of
from pertprobe.calibration.power_curves import ASKED, EFFECTS, MEMBERS, UNITS
from pertprobe.calibration.table import POWER, at_least, entry, frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, drawn, fresh
from pertprobe.calibration.untrained import FIGURE as UNTRAINED_FIGURE
from pertprobe.calibration.world import CONTEXTS, World, measured, passing, question, world
from pertprobe.probes import knockout_linearity as probe
from pertprobe.seeding import generator, seed_of
from pertprobe.statistics.paired import paired_profile_test
from pertprobe.statistics.permutation import Test, mean_score
from pertprobe.statistics.similarity import spearman_matrix
from pertprobe.testing import Asked, run_test

NAME = "knockout_linearity"
LINEARITY = f"{NAME}, linearity"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0.1), ("exceeds_coexpression", "==", True)]
"""The default thresholds; a test compares them with those of config/schema.yaml."""
LINEAR = "no bound: linear in its cells, as it should be said"

Sizes = Mapping[str, Any]


def nulls(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of predictions that say of a gene no more than of all genes (inference.md 17 d)."""

    def make(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        shifts, predicted, deciles = generators.knockouts(rng)
        return _correlated(shifts, predicted), deciles

    def ask(made: tuple[np.ndarray, np.ndarray], rng: Generator, n: int, high: bool) -> Draw:
        r, deciles = made
        members = generators.of_one_decile(rng, n, deciles) if high else generators.uniform(rng, n, len(r))
        test = paired_profile_test(r, deciles, sizes["permutations"], rng, members=members).test
        return Draw(test, rng.random(), None)

    return frame(
        row
        for high, words in ((False, "uniform programs"), (True, "highly expressed programs"))
        for row in null_rows(
            NAME, words, Question(make, lambda made, rng, n, _, high=high: ask(made, rng, n, high)),
            sizes["draws_dear"], sizes, seed, exact=not high,
        )
    )  # fmt: skip


def nulls_linearity(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of genes whose knock-outs are the less linear the more is lost, programs by loss among them."""

    def make(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        lost = rng.lognormal(0, generators.SPREAD, generators.KNOCKED)
        return 1 - 0.1 * lost**2 * rng.lognormal(0, 0.5, lost.size), lost

    def ask(made: tuple[np.ndarray, np.ndarray], rng: Generator, n: int, confounded: bool) -> Draw:
        explained, lost = made
        # What is lost least is explained best.
        members = generators.by_strength(rng, n, 1 / lost) if confounded else generators.uniform(rng, n, lost.size)
        return Draw(mean_score(explained, members, lost, sizes["permutations"], rng), rng.random(), None)

    return frame(
        row
        for confounded, words in ((False, "uniform programs"), (True, "programs by what is lost"))
        for row in null_rows(
            LINEARITY, words, Question(make, lambda made, rng, n, _, by=confounded: ask(made, rng, n, by)),
            sizes["draws"], sizes, seed, exact=not confounded,
        )
    )  # fmt: skip


def _correlated(shifts: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    nowhere = np.full(len(shifts), -1)
    return spearman_matrix(shifts, predicted, nowhere, nowhere)


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of r_ii in sd of what all others have of it."""
    rows = []
    for n in MEMBERS:
        for d in EFFECTS:
            rng = generator(seed, "calibration", "power", NAME, n, d)
            tests = [_planted_test(rng, n, d, sizes["permutations"]) for _ in range(sizes["draws"])]
            found = np.array([used(test) < ALPHA for test in tests])
            bar = {"sense": "at least", "bound": at_least(len(found), 0.95), "level": 0.95} if (n, d) == ASKED else {}
            rows.append(entry(POWER, NAME, f"{n} of {UNITS}, d = {d:g}", found.mean(), len(found), **bar))
    return frame(rows)


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test members whose own r is d sd larger, in a world where predictions say no more of a gene than of all."""
    shifts, predicted, deciles = generators.knockouts(rng, UNITS)
    r, members = _correlated(shifts, predicted), generators.uniform(rng, n, UNITS)
    sd = paired_profile_test(r, deciles, 1, rng, members=members).test.unit_sd
    r[members, members] += d * sd
    return paired_profile_test(r, deciles, permutations, rng, members=members).test


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass in the three planted models: all are linear in the cells they read."""
    with world(sizes["simulate"], seed) as made:
        every = {context: models_of(made, context, sizes["d"], seed) for context in CONTEXTS}
        rows = [_planted_row(made, kind, {c: every[c][kind] for c in CONTEXTS}, sizes, seed) for kind in WORDS]
    return frame(rows)


def _planted_row(made: World, kind: str, models: Mapping[str, Any], sizes: Sizes, seed: int) -> dict[str, Any]:
    settings = {NAME: {"genes": sizes["knocked"]}}
    found = [measured(f"{kind}_{c}", model, made, c, (NAME,), settings=settings) for c, model in models.items()]
    tables = [
        evidence.frame(probe.controlled(question(NAME, each, None, made.programs, sizes, seed))) for each in found
    ]
    table = evidence.with_q(pd.concat(tables, ignore_index=True), probe.CONTROLLED, probe.CONTROLLED)
    passed = passing(table, [each for each in CONDITIONS if each[0] != "exceeds_coexpression"])
    bar = FOUND if kind == "planted" else {"note": LINEAR}
    return share(PLANTED_FIGURE, NAME, WORDS[kind], passed, seed=seed, **bar)


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes of fresh weights scored as if they were the model: agreement, and linearity of a program."""
    with world(sizes["simulate"], seed) as made:
        model, context = fresh(made, CONTEXTS[0], sizes["hidden"], seed), CONTEXTS[0]
        more = {"redrawn": COPIES, "seed": seed_of(seed, "copies", context)}
        found = measured(context, model, made, context, (NAME,), settings={NAME: {"genes": made.perturbations}}, **more)
        return frame(row for words in WAYS for row in _untrained_rows(found, words, sizes, seed))


def _untrained_rows(found: Any, words: str, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    lost = found.measurements[NAME]["lost"].mean("set").to_series()
    asked = question(NAME, found, None, drawn(lost, words, sizes, seed), sizes, seed)
    table = run_test(NAME, Asked(asked))
    rows = table[(table.role == "subject") & (table.program != "") & table.evaluable]
    p = rows.p.where(rows.p_used != "p_stratified", rows.p_stratified)
    for statistic, bar in (("agreement", {"note": LINEAR}), ("linearity", NOMINAL)):
        low = p[rows.statistic == statistic].to_numpy() < ALPHA
        yield share(UNTRAINED_FIGURE, NAME, f"{statistic}, {words}, p < 0.05", low, seed=seed, **bar)
    largest = rows[rows.statistic == probe.CONTROLLED].exceeds_redrawn.fillna(False).to_numpy(dtype=bool)
    note = f"{1 / (2 * COPIES + 1):.3f} by chance"
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, exceeds_redrawn", largest, seed=seed, note=note)
