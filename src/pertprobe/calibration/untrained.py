"""Untrained weights scored as if they were the model: what passes through both nulls, strength and architecture?"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import BARS, CONTEXTS, NOMINAL, Case, Row, World, of_programs, world
from pertprobe.data.programs import Programs
from pertprobe.data.simulate import CONTROL
from pertprobe.evidence import used_p
from pertprobe.probes import load_probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.probes.declaration import declared
from pertprobe.seeding import generator, seed_of
from pertprobe.stages.testing import TestCase, run_test
from pertprobe.statistics.power import LEVEL

FIGURE = "untrained weights as the model"
ALPHA = 0.05
COPIES = 5
"""Of each of two kinds, the default of a run."""
BY_CHANCE = f"{(1 - LEVEL) / 2:.2f} by chance"
"""How often fresh weights have more than a further copy would."""
LOWEST = 1e-3
"""Expression of a gene that no cell expresses, so that it can be drawn."""

Sizes = Mapping[str, Any]
Sides = list[tuple[MeasureInputs, Subject]]
"""Fresh weights that were measured with their copies: of one model, or of two."""


def untrained(probe: str, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return what passes p, excess_redrawn_low > 0 and both, of a model of fresh weights, or between two.

    They go through what a trained model goes through: an SAE of their own, copies drawn again, the whole test. Programs
    are random sets, uniform or drawn by the model's own strength (of genes: by their expression), so that nothing is
    there to be found.
    """
    declaration = declared(probe)
    section, rows = declaration.calibration["untrained"], []
    by = "highly expressed programs" if declaration.unit == "gene" else "programs by strength"
    with world(sizes["simulate"], seed) as made:
        case, panels = Case(declaration, made, sizes["permutations"], seed, section["settings"]), _panels(made, sizes)
        names = pd.Series(1.0, made.perturbations)
        found = _measured(case, _programs(names, sizes, seed, confounded=False), panels, sizes)
        weights = _weights(_question(case, found, Programs({}), {}))
        for confounded, words in ((False, "uniform programs"), (True, by)):
            programs = _programs(weights, sizes, seed, confounded=confounded)
            again = "programs" in declaration.reads
            mine = _measured(case, programs, panels, sizes) if again else found
            rows += _rows(case, run_test(probe, TestCase(_question(case, mine, programs, panels))), words)
    return frame(rows)


def _rows(case: Case, table: pd.DataFrame, words: str) -> Iterator[Row]:
    probe, seed, section = case.probe.name, case.seed, case.probe.calibration["untrained"]
    rows = _answered(table, case.probe.primary)
    rows = rows if len(rows) else _answered(table, case.probe.compared_in)  # where no autoencoder was trained
    low, beyond = used_p(rows).to_numpy() < ALPHA, rows.excess_redrawn_low.to_numpy() > 0
    note = {"note": section["note"]}
    yield share(FIGURE, probe, f"{words}, p < 0.05", low, seed=seed, **note)
    yield share(FIGURE, probe, f"{words}, excess_redrawn_low > 0", beyond, seed=seed, note=BY_CHANCE)
    yield share(FIGURE, probe, f"{words}, both", low & beyond, seed=seed, **note, **BARS[section["must"]])
    for statistic in section["nominal"]:
        low = used_p(_answered(table, statistic)).to_numpy() < ALPHA
        yield share(FIGURE, f"{probe}, {statistic}", f"{words}, p < 0.05", low, seed=seed, **NOMINAL)


def _answered(table: pd.DataFrame, statistic: str) -> pd.DataFrame:
    rows = of_programs(table, statistic)
    return rows[rows.evaluable]


def _measured(case: Case, programs: Programs, panels: Mapping[str, Any], sizes: Sizes) -> Sides:
    """Measure fresh weights with their copies; where two models are compared, those of the other too."""
    section, found = case.probe.calibration["untrained"], []
    contexts = {None: CONTEXTS[:1], "contexts": CONTEXTS, "regimes": CONTEXTS[:1] * 2}[section["against"]]
    for place, context in enumerate(contexts):
        model = fresh(case.made, "both" if section["common"] else f"{context}{place}", sizes["hidden"], case.seed)
        sae = _autoencoder(case, context, model, sizes)
        inputs = case.inputs(context, model, panels=panels, programs=programs, **sae)
        found.append((inputs, case.subject(inputs, redrawn=COPIES, seed=seed_of(case.seed, "copies"))))
    return found


def _autoencoder(case: Case, context: str, model: Any, sizes: Sizes) -> dict[str, Any]:
    """Train the autoencoder of fresh weights where the probe cannot do without."""
    if "sae" not in case.probe.required:
        return {}
    from pertprobe.interpret.sae import train_sae  # torch, which null worlds do without
    from pertprobe.interpret.sae.activations import sampled_activations

    rows = sampled_activations(model, case.made.cells[context], "middle", sizes["activations"], case.seed)
    return {"sae": train_sae({"fresh": rows}, expansion=4, k=16, seed=case.seed, steps=sizes["steps"])}


def _programs(weights: pd.Series, sizes: Sizes, seed: int, *, confounded: bool) -> Programs:
    """Return random programs, all of one size, uniform or by weights squared."""
    chance = (weights.to_numpy() if confounded else np.ones(len(weights))) ** 2
    rng, names = generator(seed, "calibration", "untrained", confounded), weights.index.to_numpy()
    draw = lambda: rng.choice(names, sizes["members"], replace=False, p=chance / chance.sum()).tolist()  # noqa: E731
    return Programs({f"random_{i}": draw() for i in range(sizes["programs"])})


def _panels(made: World, sizes: Sizes) -> dict[str, dict[str, Any]]:
    """Give each random program the regulators and targets of one of the simulated panels."""
    genes = list(made.panels.values())
    return {f"random_{i}": {**genes[i % len(genes)], "program": f"random_{i}"} for i in range(sizes["programs"])}


def _question(case: Case, found: Sides, programs: Programs, panels: Mapping[str, Any]) -> TestInputs:
    common = float(case.probe.calibration["untrained"]["common"])
    return case.question(found[0][0], [side for _, side in found], programs, panels, shared_initialisation=common)


def _weights(asked: TestInputs) -> pd.Series:
    """Return the strength of perturbations, the geometric mean of two models'; of genes their mean expression.

    Of the genes that the probe's own question is about.
    """
    probe, sides = declared(asked.identity["probe"]), [each for each in (asked.subject, asked.reference) if each]
    if probe.unit != "gene":
        return np.sqrt(sides[0].strength * sides[-1].strength)
    questions = load_probe(probe.name).questions(asked.limited_to(probe))
    names = next(each.names for each in questions if each.statistic == probe.primary)
    means = pd.Series(asked.cells.values.mean(axis=(0, 1), dtype=np.float64), asked.cells.genes)
    return means.reindex(names) + LOWEST


def fresh(made: World, name: str, hidden: int, seed: int) -> Any:
    """Return a small State model before its training, other weights for each name."""
    import torch

    from pertprobe.models.state.architecture import StateArchitecture
    from pertprobe.models.state.initialise import initial_parameters
    from pertprobe.models.state.model import StateModel

    names, batches = [*made.perturbations, CONTROL], sorted(set(made.simulation.cells.obs["batch"]))
    genes = made.genes
    architecture = StateArchitecture(
        input_dim=len(genes), output_dim=len(genes), pert_dim=len(names), batch_dim=len(batches), batch_encoder=True,
        hidden_dim=hidden, cell_set_len=32, n_encoder_layers=1, n_decoder_layers=1, n_layers=2, n_heads=hidden // 16,
        n_kv_heads=hidden // 16, head_dim=16, intermediate_dim=5 * hidden // 2,
    )  # fmt: skip
    parameters, card = initial_parameters(architecture, seed_of(seed, "untrained", name)), {"causal": False}
    return StateModel(
        architecture, parameters, genes=genes, output_genes=genes, perturbations=names, batches=batches,
        perturbation_features=torch.eye(len(names)), control=CONTROL, card={**card, "cell_types": CONTEXTS},
    )  # fmt: skip
