"""False positives and power: a probe's own questions, put to measurements of which is known what they hold.

And whether the interval of the disattenuated correlation holds the truth, which belongs to no probe.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.stats import kstest

from pertprobe.calibration.table import FALSE_POSITIVES, POWER, PUBLISHED, at_least, at_most, entry, frame
from pertprobe.calibration.world import Row, answers_of
from pertprobe.data.programs import Programs
from pertprobe.probes import load_probe
from pertprobe.probes.base import Drawing, TestInputs, World
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.seeding import generator
from pertprobe.stages.verdict import OPERATORS
from pertprobe.statistics.null_worlds import by_strength, uniform
from pertprobe.statistics.reliability import Ceiling, feature_weights, noise_ceiling

MEMBERS = (5, 10, 30, 80)
"""Members of programs in worlds without signal."""
FEW, EFFECTS = (3, 4, 7, 15, 30), (0.5, 1.0, 2.0, 3.0)
"""Members of planted programs, and their strengths d."""
SMALL, LARGE = ((4, 2.0), 0.95), ((15, 3.0), 0.8)
"""Members and d -> the share that must be found where power is bounded, and by every probe."""
UNITS = 80
"""Perturbations, or genes, in which power is measured, as in the demo."""
ALPHA = 0.05
LEVELS = (0.01, 0.05, 0.1)
"""Where the reported p must be super-uniform."""
NOT_UNIFORM = 0.001
"""Smallest Kolmogorov-Smirnov p of randomised p values."""
SUPER, RANDOMISED = "reported p, super-uniform", "randomised p, Kolmogorov-Smirnov"

CEILING = "interval of the disattenuated correlation"
SETS, OUTPUTS = 4, 200
NOISE = 1.0
"""Noise of one set's profile beside the true one: reliability 0.5."""
COVERS, IN_FULL = 0.93, 1000
"""Share of this many cases."""

Sizes = Mapping[str, Any]


class Draw(NamedTuple):
    """What a probe says of one program, or of all units, in one world."""

    used: float
    """The p that a verdict uses; nan where it could not be asked."""
    randomised: float
    """The same less a random share of its ties: uniform where p is right."""
    published: float
    """p of the published test, 0 or 1 for a threshold that is exceeded or not; nan where it was not asked."""


def nulls(probe: str, sizes: Sizes, seed: int, world: int) -> pd.DataFrame:
    """Return the false positives of a probe in a world that it declares, by statistic and number of members.

    Where it declares p to be exact, also how p is spread; where a test was published, its false positives.

    Args:
        probe: its name.
        sizes: of the section `nulls` of the calibration.
        seed: of the calibration.
        world: place of the world among those that the probe declares.
    """
    declaration = declared(probe)
    words, said_of = list(declaration.calibration["worlds"].items())[world]
    rng = generator(seed, "calibration", "nulls", probe, words)
    with tempfile.TemporaryDirectory(prefix="pertprobe-nulls-") as folder:
        found = _drawn(declaration, said_of, sizes, rng, Path(folder))
    rows: list[Row] = []
    for (statistic, members), draws in found.items():
        setting = f"{words}, {members} members" if members else words
        said = declaration.calibration["published"].get(statistic, "")
        named = _named(declaration, statistic)
        rows += _cell(named, setting, draws, exact=statistic in said_of["exact"], published=said)
    rows += (_found(_named(declaration, each), f"{words}, all programs", p) for each, p in _pooled(found))
    return frame(rows)


def _named(declaration: Declaration, statistic: str) -> str:
    return declaration.name if statistic == declaration.primary else f"{declaration.name}, {statistic}"


def _pooled(found: Mapping[tuple[str, int], Sequence[Draw]]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the statistics that were asked of programs of several sizes, and the p of all of them."""
    for statistic in dict.fromkeys(name for name, _ in found):
        drawn = [draws for (name, members), draws in found.items() if name == statistic and members]
        if len(drawn) > 1:
            yield statistic, np.array([draw.used for draws in drawn for draw in draws])


def _drawn(
    declaration: Declaration, world: Mapping[str, Any], sizes: Sizes, rng: Generator, folder: Path
) -> dict[tuple[str, int], list[Draw]]:
    """Return (statistic, members; 0 = all units) -> what is said in each world, every one drawn anew."""
    slow = declaration.calibration["slow"]
    number = {each: sizes["draws_slow" if each in slow else "draws"] for each in (*world["exact"], *world["bounded"])}
    members = [n for n in MEMBERS if 2 * n <= world["units"]]
    found: dict[tuple[str, int], list[Draw]] = {}
    for i in range(max(number.values())):
        drawn = load_probe(declaration.name).null_world(Drawing(rng, world["units"], world["kind"], folder=folder))
        programs = {str(n): _members(rng, n, drawn.confounder, world["confounded"]) for n in members}
        inputs = _inputs(declaration, drawn, programs, sizes["permutations"], rng)
        asked = [name for name, draws in number.items() if i < draws]
        for row in answers_of(inputs, asked, published=i < sizes["published"], data=False):
            key = row["statistic"], int(row["program"] or 0)
            found.setdefault(key, []).append(_said(row, declaration, rng.random()))
    return {(name, 0): [] for name in number.keys() - {name for name, _ in found}} | found


def _members(rng: Generator, n: int, confounder: pd.Series, confounded: bool) -> list[str]:
    """Draw a program of n units: uniformly, or by the confounder."""
    places = by_strength(rng, n, confounder.to_numpy()) if confounded else uniform(rng, n, len(confounder))
    return confounder.index[places].tolist()


def _inputs(
    declaration: Declaration, world: World, programs: Mapping[str, Sequence[str]], permutations: int, rng: Generator
) -> TestInputs:
    """Return what a probe is asked of a drawn measurement."""
    given = {"reference": None, "panels": {}, "cells": None, **world.given(programs)}
    settings = {**declaration.default_settings, **given.pop("settings", {})}
    reference = "other" if given["reference"] else ""
    identity = {"probe": declaration.name, "model": "drawn", "reference": reference, "context": "", "regime": "unknown"}
    identity, seed = given.pop("identity", identity), int(rng.integers(2**31))
    return TestInputs(
        identity, programs=Programs(programs), settings=settings, permutations=permutations, bootstrap=2, seed=seed,
        **given,
    )  # fmt: skip


def _said(row: Row, declaration: Declaration, u: float) -> Draw:
    if not row["evaluable"]:
        return Draw(np.nan, np.nan, np.nan)
    used = row[row["p_used"]]
    return Draw(used, used - u * row["p_tie"], _published_p(row, declaration))


def _published_p(row: Row, declaration: Declaration) -> float:
    """Return p of the published test; of a published threshold 0 where it is exceeded, else 1."""
    estimate = row["estimate_published"]
    limits = [(sign, value) for column, sign, value in declaration.thresholds if column == "estimate_published"]
    if np.isnan(row["p_published"]) and limits and not np.isnan(estimate):
        return float(not all(OPERATORS[sign](estimate, value) for sign, value in limits))
    return row["p_published"]


def _cell(probe: str, setting: str, draws: Sequence[Draw], *, exact: bool, published: str) -> Iterator[Row]:
    """Yield a cell's false positives, the published test's, and where p is exact how it is spread.

    A question that was never answered keeps no bound.
    """
    used, spread, said = (values[~np.isnan(values)] for values in np.array(draws).reshape(-1, 3).T)
    n = used.size
    yield _found(probe, setting, used)
    if said.size and published:
        yield _published_entry(probe, setting, said, published)
    if not exact:
        return
    for level in LEVELS:
        value, bound = _share(used <= level), at_most(n or 1, level)
        yield entry(SUPER, probe, f"{setting}, p <= {level:g}", value, n, sense="at most", bound=bound, level=level)
    p = float(kstest(spread, "uniform").pvalue) if n else np.nan
    yield entry(RANDOMISED, probe, setting, p, n, sense="at least", bound=NOT_UNIFORM)


def _found(probe: str, setting: str, p: np.ndarray) -> Row:
    """Return the row of how often something is found where there is nothing."""
    used = p[~np.isnan(p)]
    value, bound = _share(used < ALPHA), at_most(used.size or 1, ALPHA)
    return entry(FALSE_POSITIVES, probe, setting, value, used.size, sense="at most", bound=bound, level=ALPHA)


def _share(passed: np.ndarray) -> float:
    return float(passed.mean()) if passed.size else np.nan


def _published_entry(probe: str, setting: str, p: np.ndarray, test: str) -> Row:
    """Return the row of the published test: without a bound, for it is not ours; `note` says whether it fails."""
    value = float((p < ALPHA).mean())
    fails = "fails" if value > at_most(p.size, ALPHA) else "is not seen to fail"
    return entry(PUBLISHED, probe, setting, value, p.size, level=ALPHA, note=f"{test}; {fails}")


def power(probe: str, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return how often members are found whose per-unit score is shifted by d sd of all others, by their number."""
    declaration = declared(probe)
    section = declaration.calibration["power"]
    rows = []
    with tempfile.TemporaryDirectory(prefix="pertprobe-power-") as folder:
        for members in FEW:
            for d in EFFECTS:
                rng = generator(seed, "calibration", "power", probe, members, d)
                drawing = Drawing(rng, UNITS, section["kind"], folder=Path(folder), d=d)
                level = dict([LARGE, SMALL] if section["bounded"] else [LARGE]).get((members, d))
                draws = sizes["draws" if level else "unbounded"]
                p = np.array([_planted_p(declaration, drawing, members, sizes) for _ in range(draws)])
                bar = {"sense": "at least", "bound": at_least(p.size, level), "level": level} if level else {}
                setting, found = f"{members} of {UNITS}, d = {d:g}", (p < ALPHA).mean()
                rows.append(entry(POWER, probe, setting, found, p.size, note=section["note"], **bar))
    return frame(rows)


def _planted_p(declaration: Declaration, drawing: Drawing, members: int, sizes: Sizes) -> float:
    """Return the p of the primary statistic of one program in a world of its own; nan where it could not be asked."""
    places = drawing.rng.permutation(drawing.units)[:members]
    world = load_probe(declaration.name).null_world(drawing._replace(members=places))
    program = {"planted": world.confounder.index[places].tolist()}
    inputs = _inputs(declaration, world, program, sizes["permutations"], drawing.rng)
    rows = [row for row in answers_of(inputs, [declaration.primary], data=False) if row["program"]]
    return rows[0][rows[0]["p_used"]] if rows and rows[0]["evaluable"] else np.nan


def ceiling(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return in how many cases the interval covers a true correlation of 0 and of 0.8."""
    rows = []
    for truth in (0.0, 0.8):
        rng = generator(seed, "calibration", "ceiling", truth)
        found = [case(rng, truth, sizes["bootstrap"]) for _ in range(sizes["cases"])]
        covers = np.array([each.low <= truth <= each.high for each in found])
        mean = np.mean([each.disattenuated for each in found])
        note = f"{SETS} cell sets a side, {OUTPUTS} genes, reliability of one set 0.5; mean estimate {mean:.3f}"
        bar = {"sense": "at least", "bound": at_least(len(covers), COVERS, IN_FULL), "level": COVERS}
        rows.append(entry(CEILING, "noise ceiling", f"true r {truth:g}", covers.mean(), len(covers), note=note, **bar))
    return frame(rows)


def case(rng: Generator, truth: float, bootstrap: int) -> Ceiling:
    """Draw two true profiles with this correlation over genes, cell sets with noise of their own, and their ceiling."""
    first, second = rng.normal(size=(2, OUTPUTS))
    other = truth * first + np.sqrt(1 - truth**2) * second
    sides = [profile + NOISE * rng.normal(size=(SETS, OUTPUTS)) for profile in (first, other)]
    return noise_ceiling(*sides, feature_weights(OUTPUTS, bootstrap, rng))
