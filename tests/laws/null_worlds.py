"""A probe asked in its own null worlds, in small: what does it find where nothing is, or where something is planted?"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from law_world import cells
from scipy.stats import binom

from pertprobe.data.programs import Programs
from pertprobe.probes import load_probe
from pertprobe.probes.base import HELD as HELD_BESIDE
from pertprobe.probes.base import Drawing, TestInputs, World
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import Question, Wanted
from pertprobe.seeding import generator
from pertprobe.statistics import matched
from pertprobe.statistics.null_worlds import by_strength, uniform

UNITS, FEW, MANY = 70, 5, 10
ALPHA, ERROR = 0.05, 0.001
KINDS = {"targeted_jacobian": ("", "co_expressed"), "regulator_influence": ("", "signed")}
"""Probe -> the kinds of world that it draws, where it draws several."""
Given = Mapping[str, Any]


def bound(worlds: int) -> float:
    """Return the share of worlds that false positives at ALPHA exceed by chance with probability ERROR."""
    return binom.ppf(1 - ERROR, worlds, ALPHA) / worlds


def false_positives(probe: str, kind: str, worlds: int, folder: Path, *, held: bool = True) -> dict[str, float]:
    """Return share of null worlds that find a program of few units drawn alike, and one of many by their confounder.

    Where the confounder is not held, that one alone, and axes by which it could be known are not held either.
    """
    with nullcontext() if held else patch.object(matched, "pairs_without_axes", lambda pairs, *_: pairs):
        return _false_positives(probe, kind, worlds, folder, held)


def _false_positives(probe: str, kind: str, worlds: int, folder: Path, held: bool) -> dict[str, float]:
    found = defaultdict(list)
    for seed in range(worlds):
        rng = generator(seed, "null world", probe, kind)
        world = load_probe(probe).null_world(Drawing(rng, UNITS, kind, folder=folder))
        programs = dict(_programs(rng, world, held))
        for program, p in p_values(probe, world, programs, seed, HELD[held], HELD_BESIDE if held else ()).items():
            found[program].append(p < ALPHA)
    return {program: np.mean(each) for program, each in found.items()}


def _programs(rng: np.random.Generator, world: World, uniformly: bool) -> Iterator[tuple[str, list[str]]]:
    names, confounder = world.confounder.index.to_numpy(), world.confounder.to_numpy()
    if uniformly:
        yield "uniform", names[uniform(rng, FEW, UNITS)].tolist()
    yield "confounded", names[by_strength(rng, MANY, confounder)].tolist()


def found_planted(probe: str, kind: str, worlds: int, folder: Path, *, members: int = MANY, d: float = 3.0) -> float:
    """Return the share of worlds in which members that are shifted by d are found."""
    found = []
    for seed in range(worlds):
        rng = generator(seed, "planted world", probe, kind)
        places = uniform(rng, members, UNITS)
        world = load_probe(probe).null_world(Drawing(rng, UNITS, kind, members=places, d=d, folder=folder))
        programs = {"planted": world.confounder.index[places].tolist()}
        found.append(p_values(probe, world, programs, seed)["planted"] < ALPHA)
    return np.mean(found)


def p_values(
    probe: str,
    world: World,
    programs: Mapping[str, list[str]],
    seed: int,
    change: Callable[[Given], Given] = lambda given: given,
    hold: Sequence[str] = HELD_BESIDE,
) -> dict[str, float]:
    """Return program -> the p that verdicts use, of the primary question; `change` is done to what a world gives."""
    given = change(dict(world.given(programs)))
    settings = declared(probe).default_settings | given.pop("settings", {})
    reference = "other" if given.get("reference") else ""
    identity = {"probe": probe, "model": "drawn", "reference": reference, "context": "here", "regime": "fewshot"}
    defaults = {"identity": identity, "reference": None, "panels": {}, "cells": cells("here")}
    numbers = {"permutations": 99, "bootstrap": 2, "seed": seed, "hold": hold}
    inputs = TestInputs(programs=Programs(programs), settings=settings, **{**defaults, **numbers, **given})
    asked = [each for each in load_probe(probe).questions(inputs) if _primary(each, declared(probe).primary)]
    rows = [row for each in asked for row in each.rows(inputs, Wanted(False, False, False, False)) if row["program"]]
    assert [row["program"] for row in rows] == list(programs), [row["reason"] for row in rows]
    assert all(row["evaluable"] for row in rows), [row["reason"] for row in rows]
    return {row["program"]: row[row["p_used"]] for row in rows}


def _primary(question: Question, statistic: str) -> bool:
    return question.statistic == statistic and question.adjustment == "centred" and question.role == "subject"


def not_held(given: Given) -> Given:
    """Return what a world gives with each perturbation as strong, and each gene expressed, as some other."""
    found = dict(given)
    for side in ("subject", "reference"):
        if (each := given.get(side)) is not None and len(each.strength):
            found[side] = replace(each, strength=each.strength.set_axis(_shuffled(each.strength.index)))
    if (each := given.get("cells")) is not None:
        found["cells"] = replace(each, values=_shuffled(each.values, -1), hash="")
    return found


@cache
def _order(n: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(n)


def _shuffled(values: Any, axis: int = 0) -> Any:
    return np.take(np.asarray(values), _order(np.shape(values)[axis]), axis=axis)


HELD: Mapping[bool, Callable[[Given], Given]] = {True: lambda given: given, False: not_held}
