"""cell_diagonal calibrated: planted models of which a known part crosses cells, and untrained weights.

Its test is that of panels, whose nulls and power are those of targeted_jacobian (`nulls.py`, `power_curves.py`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pertprobe import evidence
from pertprobe.calibration.planted import FIGURE as PLANTED_FIGURE
from pertprobe.calibration.planted import FOUND, NOMINAL, WORDS, models_of
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.untrained import COPIES, WAYS, both_nulls, drawn, fresh, panels_of
from pertprobe.calibration.world import CONTEXTS, Measured, World, measured, passing, question, world
from pertprobe.probes import cell_diagonal as probe
from pertprobe.probes.declaration import declared
from pertprobe.seeding import seed_of
from pertprobe.testing import Asked, run_test
from pertprobe.verdict import of_planted

NAME = "cell_diagonal"
CONDITIONS = [
    ("q", "<", 0.05),
    ("effect", ">", 0),
    ("exceeds_redrawn", "==", True),
    ("exceeds_coexpression", "==", True),
]
"""The default thresholds; a test compares them with what the probe declares."""
SET_TERM = 0.5
"""Size of what crosses cells in the planted models."""
CLOSE = 0.02
"""How near the share that crosses cells must come to what was planted."""

Sizes = Mapping[str, Any]


def planted(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of panels that pass in the three planted models, and of crossing shares that are right."""
    with world(sizes["simulate"], seed) as made:
        every = {context: models_of(made, context, sizes["d"], seed, set_term=SET_TERM) for context in CONTEXTS}
        rows = [row for kind in WORDS for row in _planted_rows(made, kind, every, sizes, seed)]
    return frame(rows)


def _planted_rows(
    made: World, kind: str, every: Mapping[str, Mapping[str, Any]], sizes: Sizes, seed: int
) -> Iterator[dict[str, Any]]:
    tables, right = [], []
    for context in CONTEXTS:
        model = every[context][kind]
        found = measured(f"{kind}_{context}", model, made, context, (NAME,), panels=made.panels)
        table = evidence.frame(probe.test(question(NAME, found, None, made.programs, sizes, seed, panels=made.panels)))
        shares = table[table.statistic == probe.CROSSING].set_index("panel").estimate
        right += [abs(shares[name] - _crossing(model, found, made, name)) < CLOSE for name in made.panels]
        tables.append(table)
    compared = declared(NAME).compared_in
    table = evidence.with_q(pd.concat(tables, ignore_index=True), compared, compared)
    mine = table[(table.statistic == compared) & (table.panel != "")]
    passed = passing(mine, of_planted(CONDITIONS))
    yield share(PLANTED_FIGURE, NAME, WORDS[kind], passed, seed=seed, **(FOUND if kind == "planted" else NOMINAL))
    words = f"{WORDS[kind]}, crossing share within {CLOSE:g}"
    yield share(PLANTED_FIGURE, NAME, words, np.array(right), seed=seed, **FOUND)


def _crossing(model: Any, found: Measured, made: World, panel: str) -> float:
    """Return the share of a panel's block that crosses cells under its pathway's perturbations, as it was planted."""
    rows, columns = (
        [made.genes.index(name) for name in made.panels[panel][part]] for part in ("targets", "regulators")
    )
    within = across = 0.0
    for name in made.programs[panel]:
        own, total = (
            model.jacobian(found.cells.values, name, derivative=which)[:, rows][..., columns]
            for which in ("diagonal", "total")
        )
        within, across = within + float(own.square().sum()), across + float((total - own).square().sum())
    return across / (within + across)


def untrained(sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes of fresh weights scored as if they were the model: of panels of random programs."""
    with world(sizes["simulate"], seed) as made:
        context, panels = CONTEXTS[0], panels_of(made, sizes["programs"])
        copies = {"redrawn": COPIES, "seed": seed_of(seed, "copies", context)}
        model = fresh(made, context, sizes["hidden"], seed)
        found = measured(context, model, made, context, (NAME,), panels=panels, **copies)
        return frame(row for words in WAYS for row in _untrained_rows(found, panels, words, sizes, seed))


def _untrained_rows(
    found: Measured, panels: Mapping[str, Any], words: str, sizes: Sizes, seed: int
) -> Iterator[dict[str, Any]]:
    programs = drawn(found.strength, words, sizes, seed)
    table = run_test(NAME, Asked(question(NAME, found, None, programs, sizes, seed, panels=panels)))
    yield from both_nulls(NAME, table, declared(NAME).compared_in, words, seed)
