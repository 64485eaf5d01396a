"""Simulated cells of two contexts, ready to be probed; models planted in them, and models of fresh weights."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from pertprobe.cards import context_source
from pertprobe.cells import CellSets, read_cells
from pertprobe.observed import observe
from pertprobe.programs import Programs
from pertprobe.seeding import generator, seed_of
from pertprobe.simulate import CONTROL, Simulation, simulate, write_simulation

CONTEXTS = ("line_a", "line_b")
COLUMNS = {
    "context_column": "cell_line", "perturbation_column": "gene", "batch_column": "batch", "control": CONTROL,
    "space": "X_hvg",
}  # fmt: skip
SOURCE = {**COLUMNS, "genes": "var", "normalisation": "log1p"}
"""Where simulated cells are found, as a config says it."""
SETS = {"set_size": 32, "n_sets": 4}


@dataclass(frozen=True)
class World:
    """What a run would have read: cells, what was observed, programs and panels."""

    path: Path
    """The h5ad, which lasts as long as the world."""
    simulation: Simulation
    cells: Mapping[str, CellSets]
    """Context -> control cells."""

    @property
    def genes(self) -> tuple[str, ...]:
        """Measured genes."""
        return self.cells[CONTEXTS[0]].genes

    @property
    def perturbations(self) -> list[str]:
        """Knocked-down genes, sorted."""
        return sorted(set(self.simulation.cells.obs["gene"]) - {CONTROL})

    @property
    def programs(self) -> Programs:
        """The planted programs: knocked-down genes."""
        return Programs({name: program.members for name, program in self.simulation.programs.items()})

    @property
    def panels(self) -> dict[str, dict[str, Any]]:
        """A panel for each program, of its own regulators and targets, as a config would state them."""
        return {
            name: {"program": name, "regulators": list(program.regulators), "targets": list(program.targets)}
            for name, program in self.simulation.programs.items()
        }

    def observed(self, context: str) -> xr.Dataset:
        """Return what was observed in a context, in the genes that models read and write."""
        card = {"genes": self.genes, "output_genes": self.genes, "capabilities": ["gene_space"]}
        return observe(self.path, card, {**SOURCE, "context": context}, seed=0)


@contextmanager
def world(sizes: Mapping[str, Any], seed: int) -> Iterator[World]:
    """Simulate cells into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pertprobe-calibration-") as folder:
        simulation = simulate(**sizes, seed=seed)
        write_simulation(simulation, folder)
        path = Path(folder) / "cells.h5ad"
        sources = {context: context_source({**SOURCE, "context": context}) for context in CONTEXTS}
        cells = {context: read_cells(path, seed=seed, **SETS, **source) for context, source in sources.items()}
        yield World(path, simulation, cells)


def random_programs(made: World, seed: int, *what: str) -> Programs:
    """Return random sets of perturbations, as many and as large as the planted programs; `what` names the draw."""
    draws = {name: generator(seed, "calibration", "random", *what, name) for name in made.programs}
    return Programs(
        {
            f"random_{name}": rng.choice(made.perturbations, len(made.programs[name]), replace=False).tolist()
            for name, rng in draws.items()
        }
    )


def models_of(made: World, context: str, d: float, seed: int, set_term: float = 0.0) -> dict[str, Any]:
    """Return the planted models of one context; genes without a role are drawn alike for both."""
    from pertprobe.models.planted import planted_models  # torch, which null worlds do without
    from pertprobe.models.planting import expressed_genes

    cells = [each.values.reshape(-1, len(made.genes)) for each in made.cells.values()]
    expressed = frozenset.intersection(*(expressed_genes(values, made.genes) for values in cells))
    names = {"genes": made.genes, "perturbations": made.perturbations, "control": CONTROL}
    asked = {"cells": made.cells[context], "programs": made.programs, "panels": made.panels, "expressed": expressed}
    return planted_models(**names, **asked, d=d, seed=seed, set_term=set_term)


def fresh(made: World, name: str, hidden: int, seed: int) -> Any:
    """Return a small State model before its training, other weights for each name."""
    import torch

    from pertprobe.models.architecture import StateArchitecture
    from pertprobe.models.initialise import initial_parameters
    from pertprobe.models.state import StateModel

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
