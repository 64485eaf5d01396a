"""The answer in worlds that no probe was made for: does it tell mechanism, co-variation and lookup apart?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.calibration.families import FAMILIES, Asked
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


def foreign(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return what is answered of every family in every world: of the model as a whole, and of programs."""
    rows: list[Row] = []
    for words, mechanism, more in map(WORLDS.__getitem__, sizes["worlds"]):
        screen = simulate_screen(mechanism, Design(**{**sizes["screen"], **more}), generator(seed, "foreign", words))
        rows += _world_rows(words, screen, sizes, seed)
    return frame(rows)


def _world_rows(words: str, screen: Screen, sizes: Mapping[str, Any], seed: int) -> list[Row]:
    context = str(screen.contexts[0])
    cells = control_sets(screen, context)
    asked = Asked(screen, context, cells.values.reshape(-1, len(cells.genes)), seed)
    known = Known(screen.values, screen.perturbations, screen.contexts, CONTROL, screen.genes)
    rivals = rival_shifts(fit_rivals(known, screen.knocked, seed), known, asked.cells, context)
    programs, observed = _programs(screen, seed), observed_of(screen, context)
    rows = []
    for name, family in FAMILIES.items():
        subject = _subject(screen, family.answers(asked), observed)
        table = _answers(TestInputs(
            {"probe": PROBE, "model": name, "reference": "", "context": context, "regime": "unknown"}, subject, None,
            programs, {}, cells, declared(PROBE).default_settings, rivals=rivals, permutations=sizes["permutations"],
            bootstrap=2, seed=seed,
        ))  # fmt: skip
        whole, each = table[table.program == ""], table[table.program != ""]
        mechanism = family.right == MECHANISM
        bars = (MOST, {}) if mechanism else (FOUND, NEVER)
        note = "; ".join(dict.fromkeys(whole.answer))
        setting = f"{words}, {name}"
        rows.append(share(RIGHT, PROBE, setting, whole.answer == family.right, seed=seed, note=note, **bars[0]))
        rows.append(share(TAKEN, PROBE, setting, each.answer == MECHANISM, seed=seed, **bars[1]))
    return rows


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


def _programs(screen: Screen, seed: int) -> Programs:
    rng, names = generator(seed, "foreign programs"), np.array(screen.knocked)
    sizes = [size for size in SIZES if 2 * size <= len(names)]
    return Programs({f"{size}, {i}": sorted(rng.permutation(names)[:size]) for size in sizes for i in range(EACH)})


def _answers(inputs: TestInputs) -> pd.DataFrame:
    return answers(evidence.frame(ask(PROBE, inputs)), declared(PROBE).answers)
