"""regulon_recovery calibrated: regulons that say nothing, power, planted graphs, and untrained weights."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from pertprobe import evidence
from pertprobe.calibration.nulls import HIGH, paired_nulls
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, WORDS, models_of
from pertprobe.calibration.power_curves import UNITS, power_rows
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, both_nulls, drawn, fresh
from pertprobe.calibration.world import CONTEXTS, SETTINGS, Measured, World, measured, passing, question, world
from pertprobe.probes import regulon_recovery as probe
from pertprobe.probes.base import MeasureInputs, TestInputs
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.regulons import read_regulons
from pertprobe.seeding import seed_of
from pertprobe.statistics import null_worlds as generators
from pertprobe.statistics.paired import PairedTest, paired_profile_test
from pertprobe.statistics.permutation import Test
from pertprobe.statistics.recovery import average_precision, pooled_early_precision
from pertprobe.testing import Asked, run_test
from pertprobe.verdict import of_planted

NAME = "regulon_recovery"
CONDITIONS = [
    ("q", "<", 0.05),
    ("effect", ">", 0),
    ("exceeds_redrawn", "==", True),
    ("exceeds_coexpression", "==", True),
]
"""The default thresholds; a test compares them with what the probe declares."""
TARGETS = (4, 16)
"""Fewest and most known targets of a regulator."""
EXAMPLE = "truth"
"""Name of the simulated regulons."""

Sizes = Mapping[str, Any]


class Edges(NamedTuple):
    """Regulons and profiles that have nothing to do with each other."""

    known: np.ndarray
    """Known targets, bool [regulators, outputs]."""
    profiles: np.ndarray
    """What each does to the outputs."""
    r: np.ndarray
    """AUPRC of regulon i under profile j."""
    deciles: np.ndarray
    """Of expression."""


def nulls(sizes: Sizes, seed: int, *, confounded: bool) -> pd.DataFrame:
    """Return the rows of programs of any regulators, whose targets are drawn from all outputs alike.

    Where `confounded`, of highly expressed regulators, whose targets answer to whatever is silenced.
    """

    def said(made: Edges, found: np.ndarray, _: PairedTest) -> float:
        """Ask the published test."""
        return pooled_early_precision(made.known[found], made.profiles[found], np.full(len(found), -1))[1]

    words, make = f"{HIGH}, targets that answer to all" if confounded else "", partial(edges, hubs=confounded)
    return frame(paired_nulls(NAME, make, sizes, seed, high=confounded, words=words, said=said))


def edges(rng: Generator, *, hubs: bool, genes: int = generators.KNOCKED) -> Edges:
    """Draw profiles that share one, the more so the higher a gene is expressed, and regulons that know nothing of it.

    With `hubs` known targets are drawn in proportion to the square of what all profiles share.
    """
    ours, _, deciles = generators.knockouts(rng, genes)
    shared = np.abs(ours[deciles == deciles.max()].mean(axis=0))
    weights = shared**2 if hubs else np.ones(len(shared))
    known = np.zeros(ours.shape, dtype=bool)
    for row, n in zip(known, rng.integers(*TARGETS, size=genes), strict=True):
        row[rng.choice(len(row), n, replace=False, p=weights / weights.sum())] = True
    profiles = np.abs(ours)
    return Edges(known, profiles, average_precision(known, profiles, np.full(genes, -1)), deciles)


def power(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the share of planted effects found; d is the shift of r_ii in sd of what all others have of it."""
    return frame(power_rows(NAME, _shifted_test, sizes, seed))


def _shifted_test(rng: Generator, n: int, d: float, permutations: int) -> Test:
    made, members = edges(rng, hubs=False, genes=UNITS), generators.uniform(rng, n, UNITS)
    sd = paired_profile_test(made.r, made.deciles, 1, rng, members=members).test.unit_sd
    made.r[members, members] += d * sd
    return paired_profile_test(made.r, made.deciles, permutations, rng, members=members).test


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass in the planted models of one simulated data set.

    The regulons they are asked are the edges of the mechanism's graph, as many as the simulated ones have regulators:
    the lookup has them between other genes, the co-variation model has those of its own.
    """
    with world(sizes["simulate"], seed) as made:
        tables: dict[str, list[pd.DataFrame]] = {kind: [] for kind in WORDS}
        for context in CONTEXTS:
            models = models_of(made, context, sizes["d"], seed)
            for kind, model in probe.plant(MeasureInputs(None, made.cells[context], {}), models).items():
                found = _measured(made, context, model, {"genes": sizes["knocked"]})
                asked = _question(made, found, made.programs, sizes, seed)
                tables[kind].append(evidence.frame(probe.controlled(asked)))
        rows = [_planted_row(kind, pd.concat(each, ignore_index=True), seed) for kind, each in tables.items()]
    return frame(rows)


def _planted_row(kind: str, table: pd.DataFrame, seed: int) -> dict[str, Any]:
    family = evidence.with_q(table[table.program != ""], declared(NAME).compared_in, declared(NAME).compared_in)
    passed = passing(family, of_planted(CONDITIONS))
    return share(PLANTED_FIGURE, NAME, WORDS[kind], passed, seed=seed, **(FOUND if kind == "planted" else NOMINAL))


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of fresh weights scored as if they were the model."""
    with world(sizes["simulate"], seed) as made:
        context = CONTEXTS[0]
        model = fresh(made, context, sizes["hidden"], seed)
        found = _measured(made, context, model, {"genes": "all"}, COPIES, seed_of(seed, "copies", context))
        return frame(row for words in WAYS for row in _untrained_rows(made, found, words, sizes, seed))


def _untrained_rows(made: World, found: Measured, words: str, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the shares among random programs of regulators, uniform or by what their knock-out does."""
    shift = found.measurements[NAME]["shift"].sel(variant="subject").mean("set").to_pandas()
    many = read_regulons(made.path.parent / "regulons.tsv").signs.source.value_counts()
    regulators = sorted(set(many.index[many >= TARGETS[0]]) & set(shift.index))
    strength = pd.Series(np.linalg.norm(shift.loc[regulators], axis=1), index=regulators)
    asked = _question(made, found, drawn(strength, words, sizes, seed), sizes, seed)
    yield from both_nulls(NAME, run_test(NAME, Asked(asked)), declared(NAME).compared_in, words, seed)


def _measured(
    made: World, context: str, model: Any, settings: Mapping[str, Any], redrawn: int = 0, seed: int = 0
) -> Measured:
    return measured(context, model, made, context, (NAME,), settings={NAME: settings}, redrawn=redrawn, seed=seed)


def _question(made: World, found: Measured, programs: Programs, sizes: Sizes, seed: int) -> TestInputs:
    """Return what is asked of a measured model, with the simulated regulons."""
    files = {EXAMPLE: str(made.path.parent / "regulons.tsv")}
    settings = {**SETTINGS[NAME], "regulons": files, "universe": "targets", "min_targets": 3}
    return replace(question(NAME, found, None, programs, sizes, seed), settings=settings)
