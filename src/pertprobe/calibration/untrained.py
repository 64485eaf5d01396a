"""Untrained weights scored as if they were the model: what passes through both nulls, strength and architecture?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pertprobe.calibration.nulls import ALPHA
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import (
    CONTEXTS,
    PROBES,
    Measured,
    World,
    inputs_of,
    measured,
    question,
    question_of,
    strength_of,
    world,
)
from pertprobe.evidence import used_p
from pertprobe.measuring import measure_shard
from pertprobe.models.architecture import StateArchitecture
from pertprobe.models.initialise import initial_parameters
from pertprobe.models.state import StateModel
from pertprobe.probes.base import MeasureInputs, Subject
from pertprobe.probes.declaration import declared
from pertprobe.programs import Programs
from pertprobe.roles import SUBJECT
from pertprobe.sae import train_sae
from pertprobe.sae.activations import sampled_activations
from pertprobe.seeding import generator, seed_of
from pertprobe.simulate import CONTROL
from pertprobe.testing import Asked, run_test

FIGURE = "untrained weights as the model"
WAYS = ("uniform programs", "programs by strength")
COPIES = 5
"""Of each of two kinds, the default of a run."""
BY_CHANCE = f"{1 / (2 * COPIES + 1):.3f} by chance"
"""How often fresh weights exceed as many others as there are copies."""


def untrained(sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return what passes p, exceeds_redrawn and both, of two models of fresh weights, one for each context.

    They go through what a trained model goes through: an SAE of their own, copies drawn again, the whole test. Programs
    are random sets of perturbations, uniform or drawn by the model's own strength (of genes by that of knock-outs), so
    that nothing is there to be found.
    """
    with world(sizes["simulate"], seed) as made:
        found = [_measured(made, context, sizes, seed) for context in CONTEXTS]
        rows = [row for probe in PROBES for row in _probe(probe, made, found, sizes, seed)]
    return frame(rows)


def _measured(made: World, context: str, sizes: Mapping[str, Any], seed: int) -> Measured:
    model = fresh(made, context, sizes["hidden"], seed)
    rows = sampled_activations(model, made.cells[context], "middle", sizes["activations"], seed)
    sae = train_sae({"fresh": rows}, expansion=4, k=16, seed=seed, steps=sizes["steps"])
    settings = {"knockout": {"genes": made.perturbations}}
    copies = {"redrawn": COPIES, "seed": seed_of(seed, "copies", context)}
    panels = panels_of(made, sizes["programs"])
    return measured(context, model, made, context, tuple(PROBES), settings=settings, panels=panels, sae=sae, **copies)


def fresh(made: World, context: str, hidden: int, seed: int) -> StateModel:
    """Return a small State model before its training, other weights for each context."""
    names, batches = [*made.perturbations, CONTROL], sorted(set(made.simulation.cells.obs["batch"]))
    genes = made.genes
    architecture = StateArchitecture(
        input_dim=len(genes), output_dim=len(genes), pert_dim=len(names), batch_dim=len(batches), batch_encoder=True,
        hidden_dim=hidden, cell_set_len=32, n_encoder_layers=1, n_decoder_layers=1, n_layers=2, n_heads=hidden // 16,
        n_kv_heads=hidden // 16, head_dim=16, intermediate_dim=5 * hidden // 2,
    )  # fmt: skip
    return StateModel(
        architecture,
        initial_parameters(architecture, seed_of(seed, "untrained", context)),
        genes=genes,
        output_genes=genes,
        perturbations=names,
        perturbation_features=torch.eye(len(names)),
        control=CONTROL,
        batches=batches,
        card={"causal": False, "cell_types": CONTEXTS},
    )


def _probe(
    probe: str, made: World, found: list[Measured], sizes: Mapping[str, Any], seed: int
) -> Iterator[dict[str, Any]]:
    mine, other = found
    strength = _knockout_strength(mine) if probe == "knockout" else mine.strength
    for way in WAYS:
        programs = drawn(strength, way, sizes, seed)
        panels = panels_of(made, len(programs)) if probe == "targeted_jacobian" else {}
        asked = question(probe, mine, other if probe == "knockout" else None, programs, sizes, seed, panels=panels)
        yield from both_nulls(probe, run_test(probe, Asked(asked)), declared(probe).primary, way, seed)


def drawn(strength: pd.Series, way: str, sizes: Mapping[str, Any], seed: int) -> Programs:
    """Return random programs, uniform or by strength, all of one size."""
    weights = np.ones(len(strength)) if way == WAYS[0] else strength.to_numpy() ** 2
    rng = generator(seed, "calibration", "untrained", way)
    names = strength.index.to_numpy()
    return Programs(
        {
            f"random_{i}": rng.choice(names, sizes["members"], replace=False, p=weights / weights.sum()).tolist()
            for i in range(sizes["programs"])
        }
    )


def panels_of(made: World, programs: int) -> dict[str, dict[str, Any]]:
    """Give each random program the regulators and targets of one of the simulated panels."""
    genes = list(made.panels.values())
    return {f"random_{i}": {**genes[i % len(genes)], "program": f"random_{i}"} for i in range(programs)}


def _knockout_strength(mine: Measured) -> pd.Series:
    """Return the norm of each knock-out's shift."""
    shift = mine.measurements["knockout"]["shift"].sel(variant="subject").mean("set")
    return pd.Series(np.linalg.norm(shift.values, axis=1), index=shift.perturbation.values)


def both_nulls(probe: str, table: pd.DataFrame, statistic: str, way: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the share of programs that pass the permutation null, the architecture null, and both."""
    rows = of_programs(table, statistic)
    low, largest = used_p(rows).to_numpy() < ALPHA, exceeding(rows)
    yield share(FIGURE, probe, f"{way}, p < 0.05", low, seed=seed)
    yield share(FIGURE, probe, f"{way}, exceeds_redrawn", largest, seed=seed, note=BY_CHANCE)
    yield share(FIGURE, probe, f"{way}, both", low & largest, seed=seed, sense="at most", level=ALPHA)


def of_programs(table: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Return the model's own rows of a statistic that say something of a program."""
    mine = (table.role == SUBJECT) & (table.adjustment == "centred") & (table.program != "")
    return table[mine & (table.statistic == statistic) & table.evaluable]


def exceeding(rows: pd.DataFrame) -> np.ndarray:
    """Return which rows exceed those of every re-drawn copy [rows]; what has no copies does not."""
    return rows.exceeds_redrawn.fillna(False).to_numpy(dtype=bool)


def fresh_tables(
    probe: str, made: World, settings: Mapping[str, Any], sizes: Mapping[str, Any], seed: int, *,
    by_program: bool = False, **more: Any,
) -> Iterator[tuple[str, pd.DataFrame]]:  # fmt: skip
    """Yield how programs are drawn, and what a probe says of them in fresh weights of the first context.

    `by_program`: its measurement depends on the programs; `more` replaces what it is measured with.
    """
    context = CONTEXTS[0]
    inputs = inputs_of(made, context, fresh(made, context, sizes["hidden"], seed), settings, seed, **more)
    strength = strength_of(inputs)
    found = None if by_program else with_copies(probe, inputs, seed)
    for way in WAYS:
        programs = drawn(strength, way, sizes, seed)
        measurement = with_copies(probe, replace(inputs, programs=programs), seed) if by_program else found
        subject = Subject(measurement, strength, pd.Series(dtype=object))
        yield way, run_test(probe, Asked(question_of(probe, context, subject, inputs, programs, sizes, seed)))


def with_copies(probe: str, inputs: MeasureInputs, seed: int) -> xr.Dataset:
    """Measure a probe in fresh weights and in their copies."""
    return measure_shard(probe, inputs, 0, 1, redrawn=COPIES, seed=seed_of(seed, "copies", inputs.cells.context))
