"""knockout_linearity calibrated: predictions that foretell nothing, power, planted models, and untrained weights."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.nulls import ALPHA, agreements, paired_nulls, program_nulls
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, WORDS, models_of
from pertprobe.calibration.power_curves import UNITS, power_rows
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import BY_CHANCE, COPIES, WAYS, drawn, exceeding, fresh, of_programs
from pertprobe.calibration.untrained import FIGURE as UNTRAINED_FIGURE
from pertprobe.calibration.world import CONTEXTS, World, measured, passing, question, world
from pertprobe.evidence import used_p
from pertprobe.probes import knockout_linearity as probe
from pertprobe.probes.declaration import declared
from pertprobe.seeding import seed_of
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.paired import paired_profile_test
from pertprobe.statistics.permutation import Test, mean_score
from pertprobe.testing import Asked, run_test
from pertprobe.verdict import of_planted

NAME = "knockout_linearity"
LINEARITY = f"{NAME}, linearity"
CONDITIONS = [("q", "<", 0.05), ("effect", ">", 0.1), ("exceeds_coexpression", "==", True)]
"""The default thresholds; a test compares them with what the probe declares."""
LINEAR = "no bound: linear in its cells, as it should be said"

Sizes = Mapping[str, Any]


def nulls(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of predictions that say of a gene no more than of all genes (methods.md, Calibration)."""
    return frame(row for high in (False, True) for row in paired_nulls(NAME, agreements, sizes, seed, high=high))


class Answers(NamedTuple):
    """Knock-outs that are the less linear the more is lost."""

    explained: np.ndarray
    """Share of each knock-out that is foretold [genes]."""
    lost: np.ndarray
    """[genes]."""

    @property
    def strength(self) -> np.ndarray:
        """What is lost least is explained best [genes]."""
        return 1 / self.lost


def _answers(rng: Generator) -> Answers:
    lost = rng.lognormal(0, generators.SPREAD, generators.KNOCKED)
    return Answers(1 - 0.1 * lost**2 * rng.lognormal(0, 0.5, lost.size), lost)


def nulls_linearity(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows of genes whose knock-outs are the less linear the more is lost, programs by loss among them."""

    def test(made: Answers, members: np.ndarray, rng: Generator) -> Test:
        """Test a program as the probe does."""
        return mean_score(made.explained, members, made.lost, sizes["permutations"], rng)

    uniform, by_loss = (
        program_nulls(LINEARITY, _answers, test, sizes, seed, confounded=confounded, words=words)
        for confounded, words in ((False, ""), (True, "programs by what is lost"))
    )
    return frame([*uniform, *by_loss])


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of r_ii in sd of what all others have of it."""
    return frame(power_rows(NAME, _planted_test, sizes, seed, must=True))


def _planted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    """Test members whose own r is d sd larger, in a world where predictions say no more of a gene than of all."""
    (r, deciles), members = agreements(rng, UNITS), generators.uniform(rng, n, UNITS)
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
    compared = declared(NAME).compared_in
    table = evidence.with_q(pd.concat(tables, ignore_index=True), compared, compared)
    passed = passing(table, of_planted(CONDITIONS))
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
    for statistic, bar in (("agreement", {"note": LINEAR}), ("linearity", NOMINAL)):
        low = used_p(of_programs(table, statistic)).to_numpy() < ALPHA
        yield share(UNTRAINED_FIGURE, NAME, f"{statistic}, {words}, p < 0.05", low, seed=seed, **bar)
    largest = exceeding(of_programs(table, declared(NAME).compared_in))
    yield share(UNTRAINED_FIGURE, NAME, f"{words}, exceeds_redrawn", largest, seed=seed, note=BY_CHANCE)
