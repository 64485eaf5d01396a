"""The answer in worlds that no probe was made for: does it tell mechanism, co-variation and lookup apart?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.calibration.families import FAMILIES, Situation
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import Row
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.networks.mechanisms import Mechanism, hill, linear
from pertprobe.data.networks.screen import CONTROL, Design, Screen, simulate_screen
from pertprobe.data.programs import Programs
from pertprobe.models.rivals.answers import Known, fit_rivals, rival_shifts
from pertprobe.probes.base import Subject, TestInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.seeding import generator
from pertprobe.stages.answer import MECHANISM, answers

PROBE = "intervention_fidelity"
RIGHT, TAKEN = "right answer of a model", "programs taken for mechanism"
FOUND = {"sense": "at least", "level": 0.95}
MOST = {"sense": "at least", "level": 0.8}
NEVER = {"sense": "at most", "level": 0.02}
SIZES, EACH = (6, 10, 20), 5
"""Members of programs, drawn at random among the genes that are knocked down, and programs of each size."""
SETS = 4
WORLDS: Mapping[str, tuple[str, Mechanism, Mapping[str, Any]]] = {
    "hill": ("Hill kinetics", hill, {}),
    "linear": ("linear, hidden axes", linear, {}),
    "contexts": ("two contexts, a third rewired", hill, {"rewired": 0.3, "contexts": ("line_a", "line_b")}),
}
"""Name -> words, how genes act on each other, and what else is unlike the usual screen."""


@dataclass(frozen=True, eq=False)
class ScreenCase:
    """What all models in one context of a screen are asked with."""

    screen: Screen
    cells: CellSets
    """Control cells of the context, in which genes are silenced."""
    permutations: int
    seed: int

    @cached_property
    def rivals(self) -> xr.Dataset:
        """Return what co-variation answers to silenced genes, shift [rival, perturbation, gene]."""
        screen, cells = self.screen, self.cells
        known = Known(screen.values, screen.perturbations, screen.contexts, CONTROL, screen.genes)
        fitted = fit_rivals(known, screen.knocked, self.seed)
        return rival_shifts(fitted, known, cells.values.reshape(-1, len(cells.genes)), cells.context)

    @cached_property
    def programs(self) -> Programs:
        """Return random programs of the genes that are knocked down."""
        rng, names = generator(self.seed, "foreign programs"), np.array(self.screen.knocked)
        sizes = [size for size in SIZES if 2 * size <= len(names)]
        return Programs({f"{size}, {i}": sorted(rng.permutation(names)[:size]) for size in sizes for i in range(EACH)})

    def answers(self, model: str, subject: Subject, regime: str = "unknown") -> pd.DataFrame:
        """Return the answer of a measured model, and of each program in it, as `answers.tsv` has them."""
        identity = {"probe": PROBE, "model": model, "reference": "", "context": self.cells.context, "regime": regime}
        asked = TestInputs(
            identity, subject, None, self.programs, {}, self.cells, declared(PROBE).default_settings,
            rivals=self.rivals, permutations=self.permutations, bootstrap=2, seed=self.seed,
        )  # fmt: skip
        return answers(evidence.frame(ask(PROBE, asked)), declared(PROBE).answers)


def foreign(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return what is answered of every family in every world: of the model as a whole, and of programs."""
    rows: list[Row] = []
    for words, screen in screens(sizes, seed):
        rows += _world_rows(words, screen, sizes["permutations"], seed)
    return frame(rows)


def screens(sizes: Mapping[str, Any], seed: int) -> Iterator[tuple[str, Screen]]:
    """Yield each of the `worlds` that are asked for, in words, and its screen, as large as `screen` says."""
    for words, mechanism, more in map(WORLDS.__getitem__, sizes["worlds"]):
        design = Design(**{**sizes["screen"], **more})
        yield words, simulate_screen(mechanism, design, generator(seed, "foreign", words))


def _world_rows(words: str, screen: Screen, permutations: int, seed: int) -> Iterator[Row]:
    context = str(screen.contexts[0])
    case = ScreenCase(screen, control_sets(screen, context), permutations, seed)
    asked = Situation(screen, context, case.cells.values.reshape(-1, len(screen.genes)), seed)
    observed = observed_of(screen, context)
    for name, family in FAMILIES.items():
        table = case.answers(name, _subject(screen, family.answers(asked), observed))
        whole, each = table[table.program == ""], table[table.program != ""]
        mechanism = family.right == MECHANISM
        bars = (MOST, {}) if mechanism else (FOUND, NEVER)
        note = "; ".join(dict.fromkeys(whole.answer))
        setting = f"{words}, {name}"
        yield share(RIGHT, PROBE, setting, whole.answer == family.right, seed=seed, note=note, **bars[0])
        taken = each.answer == MECHANISM
        yield share(TAKEN, PROBE, setting, taken, seed=seed, note=_by_size(each.program, taken), **bars[1])


def _by_size(programs: pd.Series, taken: pd.Series) -> str:
    """Say what share of the programs of each size is taken for mechanism."""
    found = taken.groupby(programs.str.partition(",")[0].astype(int)).mean()
    return "; ".join(f"{value:.2g} of {size} members" for size, value in found.items())


def control_sets(screen: Screen, context: str) -> CellSets:
    """Return sets of control cells of a context."""
    chosen = np.flatnonzero((screen.contexts == context) & (screen.perturbations == CONTROL))
    size = len(chosen) // SETS
    values = screen.values[chosen[: SETS * size]].reshape(SETS, size, -1)
    ids = np.array([f"cell {i}" for i in chosen[: SETS * size]]).reshape(SETS, size)
    return CellSets(values, screen.genes, None, ids, context)


def observed_of(screen: Screen, context: str) -> xr.Dataset:
    """Return what was observed of knock-downs, whole and in halves, as the workflow keeps it."""
    axes = {"perturbation": list(screen.knocked), "gene": list(screen.genes)}
    halves = np.stack([screen.mean_shifts(context, half) for half in (0, 1)])
    found = {
        "delta_y": (tuple(axes), screen.mean_shifts(context)),
        "delta_y_half": (("half", *axes), halves),
    }
    return xr.Dataset(found, axes)


def _subject(screen: Screen, silenced: np.ndarray, observed: xr.Dataset) -> Subject:
    """Return a model that answers so to silenced genes, and to names what their knock-downs did."""
    axes = {"set": [0], "perturbation": list(screen.knocked), "gene": list(screen.genes)}
    answered = observed["delta_y"].values
    measured = {"shift": (tuple(axes), silenced[None]), "response": (tuple(axes), answered[None])}
    strength = pd.Series(np.linalg.norm(answered, axis=1), list(screen.knocked))
    return Subject(xr.Dataset(measured, axes), strength, pd.Series("here", strength.index), observed)
