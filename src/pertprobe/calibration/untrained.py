"""Untrained weights scored as if they were the model: what passes through both nulls, strength and architecture?"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.calibration.asking import question
from pertprobe.calibration.planted import BARS
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import CONTEXTS, World, fresh, inputs_of, subject_of, world
from pertprobe.evidence import used_p
from pertprobe.probes import load_probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.programs import Programs
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator, seed_of
from pertprobe.testing import Asked, run_test

FIGURE = "untrained weights as the model"
ALPHA = 0.05
COPIES = 5
"""Of each of two kinds, the default of a run."""
BY_CHANCE = f"{1 / (2 * COPIES + 1):.3f} by chance"
"""How often fresh weights exceed as many others as there are copies."""
LOWEST = 1e-3
"""Expression of a gene that no cell expresses, so that it can be drawn."""

Sizes = Mapping[str, Any]


def untrained(probe: str, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of a model of fresh weights, or between two.

    They go through what a trained model goes through: an SAE of their own, copies drawn again, the whole test. Programs
    are random sets, uniform or drawn by the model's own strength (of genes: by their expression), so that nothing is
    there to be found.
    """
    declaration = declared(probe)
    with world(sizes["simulate"], seed) as made:
        return frame(row for confounded in (False, True) for row in _rows(declaration, made, confounded, sizes, seed))


def _rows(declaration: Declaration, made: World, confounded: bool, sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    section, genes = declaration.calibration["untrained"], declaration.unit == "gene"
    words = "uniform programs" if not confounded else "highly expressed programs" if genes else "programs by strength"
    table = _tested(declaration, made, confounded, sizes, seed)
    rows = of_programs(table, declaration.primary)
    rows = rows if len(rows) else of_programs(table, declaration.compared_in)  # where no autoencoder was trained
    low, largest = used_p(rows).to_numpy() < ALPHA, rows.exceeds_redrawn.fillna(False).to_numpy(dtype=bool)
    for said, passed, bar in (
        ("p < 0.05", low, {"note": section["note"]}),
        ("exceeds_redrawn", largest, {"note": BY_CHANCE}),
        ("both", low & largest, {**BARS[section["must"]], "note": section["note"]}),
    ):
        yield share(FIGURE, declaration.name, f"{words}, {said}", passed, seed=seed, **bar)
    for statistic in section["nominal"]:
        low = used_p(of_programs(table, statistic)).to_numpy() < ALPHA
        name = f"{declaration.name}, {statistic}"
        yield share(FIGURE, name, f"{words}, p < 0.05", low, seed=seed, **BARS["not find"])


def of_programs(table: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Return the model's own rows of a statistic that say something of a program."""
    mine = (table.role == SUBJECT) & (table.adjustment == "centred") & (table.program != "")
    return table[mine & (table.statistic == statistic) & table.evaluable]


def _tested(declaration: Declaration, made: World, confounded: bool, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the whole evidence of a probe on fresh weights and random programs."""
    by_program = "programs" in declaration.reads
    strength = pd.Series(1.0, made.perturbations)
    programs, panels = _programs(strength, sizes, seed, confounded=False), _panels(made, sizes["programs"])
    sides = _sides(declaration, made, programs, panels, sizes, seed)
    asked = _question(declaration, made, sides, programs, panels, sizes, seed)
    weights = _expression(asked) if declaration.unit == "gene" else _strength(asked)
    programs = _programs(weights, sizes, seed, confounded=confounded)
    if by_program:
        sides = _sides(declaration, made, programs, panels, sizes, seed)
    return run_test(declaration.name, Asked(_question(declaration, made, sides, programs, panels, sizes, seed)))


def _programs(weights: pd.Series, sizes: Sizes, seed: int, *, confounded: bool) -> Programs:
    """Return random programs, all of one size, uniform or by weights squared."""
    chance = (weights.to_numpy() if confounded else np.ones(len(weights))) ** 2
    rng = generator(seed, "calibration", "untrained", confounded)
    draws = [
        rng.choice(weights.index, sizes["members"], replace=False, p=chance / chance.sum())
        for _ in range(sizes["programs"])
    ]
    return Programs({f"random_{i}": drawn.tolist() for i, drawn in enumerate(draws)})


def _panels(made: World, programs: int) -> dict[str, dict[str, Any]]:
    """Give each random program the regulators and targets of one of the simulated panels."""
    genes = list(made.panels.values())
    return {f"random_{i}": {**genes[i % len(genes)], "program": f"random_{i}"} for i in range(programs)}


def _sides(
    declaration: Declaration, made: World, programs: Programs, panels: Mapping[str, Any], sizes: Sizes, seed: int
) -> list[tuple[MeasureInputs, Subject]]:
    """Measure fresh weights with their copies; where two models are compared, those of the other too."""
    section = declaration.calibration["untrained"]
    contexts = {None: CONTEXTS[:1], "contexts": CONTEXTS, "regimes": CONTEXTS[:1] * 2}[section["against"]]
    found = []
    for place, context in enumerate(contexts):
        model = fresh(made, "both" if section["common"] else f"{context}{place}", sizes["hidden"], seed)
        more = {"panels": panels, "programs": programs, **_autoencoder(declaration, made, context, model, sizes, seed)}
        inputs = inputs_of(declaration.name, made, context, model, seed, settings=section["settings"], **more)
        found.append((inputs, subject_of(declaration.name, inputs, redrawn=COPIES, seed=seed_of(seed, "copies"))))
    return found


def _autoencoder(
    declaration: Declaration, made: World, context: str, model: Any, sizes: Sizes, seed: int
) -> dict[str, Any]:
    """Train the autoencoder of fresh weights where the probe cannot do without."""
    if "sae" not in declaration.required:
        return {}
    from pertprobe.sae import train_sae  # torch, which null worlds do without
    from pertprobe.sae.activations import sampled_activations

    rows = sampled_activations(model, made.cells[context], "middle", sizes["activations"], seed)
    return {"sae": train_sae({"fresh": rows}, expansion=4, k=16, seed=seed, steps=sizes["steps"])}


def _question(
    declaration: Declaration, made: World, sides: list[tuple[MeasureInputs, Subject]], programs: Programs,
    panels: Mapping[str, Any], sizes: Sizes, seed: int,
) -> TestInputs:  # fmt: skip
    section = declaration.calibration["untrained"]
    return question(
        declaration.name, made, sides[0][0], [subject for _, subject in sides], programs, sizes["permutations"],
        panels=panels, settings=section["settings"], seed=seed, shared_initialisation=float(section["common"]),
    )  # fmt: skip


def _strength(asked: TestInputs) -> pd.Series:
    """Return the strength of perturbations, of two models the geometric mean."""
    sides = [each.strength for each in (asked.subject, asked.reference) if each]
    return np.sqrt(sides[0] * sides[-1])


def _expression(asked: TestInputs) -> pd.Series:
    """Return the mean expression of the genes that the probe's own question is about."""
    declaration = declared(asked.identity["probe"])
    questions = load_probe(declaration.name).questions(asked.limited_to(declaration))
    names = next(each.names for each in questions if each.statistic == declaration.primary)
    means = pd.Series(asked.cells.values.mean(axis=(0, 1), dtype=np.float64), asked.cells.genes)
    return means.reindex(names) + LOWEST
