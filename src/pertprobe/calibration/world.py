"""Simulated cells of two contexts, ready to be probed, and the way from a model to judged rows through the library."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.cards import context_source
from pertprobe.cells import CellSets, read_cells
from pertprobe.measuring import measure_shard
from pertprobe.models.base import Model
from pertprobe.observed import observe
from pertprobe.probes import delta_y, knockout, pert_embedding, sae_features, targeted_jacobian
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.programs import Programs, read_panels
from pertprobe.roles import SUBJECT
from pertprobe.simulate import CONTROL, Simulation, simulate, write_simulation
from pertprobe.verdict import PASS, judge

CONTEXTS = ("line_a", "line_b")
SOURCE = {
    "context_column": "cell_line",
    "perturbation_column": "gene",
    "batch_column": "batch",
    "control": CONTROL,
    "space": "X_hvg",
    "genes": "var",
    "normalisation": "log1p",
}
"""Where simulated cells are found, as a config says it."""
SETS = {"set_size": 32, "n_sets": 4}
PROBES = {
    "sae_features": sae_features,
    "pert_embedding": pert_embedding,
    "targeted_jacobian": targeted_jacobian,
    "knockout": knockout,
}
"""Named here, so that the digest of a part's code follows them."""
SETTINGS: dict[str, dict[str, Any]] = {
    "sae_features": {},
    "pert_embedding": {"neighbours": 5},
    "targeted_jacobian": {"at": "mean_cell", "derivative": "total", "panels": "all"},
    "cell_diagonal": {"error": 0.05, "copy_sets": 1, "panels": "all"},
    "knockout": {"genes": 200, "by": "expression", "value": "zero", "perturbation": "control"},
    "regulon_recovery": {"genes": 200, "by": "expression", "value": "zero", "perturbation": "control"},
    "knockout_linearity": {"genes": 200, "by": "expression", "value": "zero", "perturbation": "control"},
    "delta_y": {},
}
CONDITIONS: dict[str, list[tuple[str, str, Any]]] = {
    "sae_features": [("q", "<", 0.05), ("effect", ">", 0.1), ("exceeds_redrawn", "==", True)],
    "pert_embedding": [("q", "<", 0.05), ("exceeds_redrawn", "==", True)],
    "targeted_jacobian": [
        ("q", "<", 0.05),
        ("effect", ">", 0),
        ("exceeds_redrawn", "==", True),
        ("exceeds_coexpression", "==", True),
    ],
    "knockout": [
        ("estimate_published", ">", 0.4),
        ("q", "<", 0.05),
        ("exceeds_redrawn", "==", True),
        ("exceeds_coexpression", "==", True),
    ],
}
"""The default thresholds; a test compares them with what the probes declare."""


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
def world(sizes: Mapping[str, Any], seed: int) -> Iterable[World]:
    """Simulate cells into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pertprobe-calibration-") as folder:
        simulation = simulate(**sizes, seed=seed)
        write_simulation(simulation, folder)
        path = Path(folder) / "cells.h5ad"
        sources = {context: context_source({**SOURCE, "context": context}) for context in CONTEXTS}
        cells = {context: read_cells(path, seed=seed, **SETS, **source) for context, source in sources.items()}
        yield World(path, simulation, cells)


@dataclass(frozen=True)
class Measured:
    """One model measured by every probe it is asked by."""

    name: str
    context: str
    cells: CellSets
    strength: pd.Series
    measurements: Mapping[str, xr.Dataset]
    """Probe -> measurement, the model's copies along `variant`."""
    observed: xr.Dataset | None = None
    seen: pd.Series = field(default_factory=lambda: pd.Series(dtype=object))

    def subject(self, probe: str) -> Subject:
        """Return what a test is given."""
        measurement = self.measurements[probe]
        return Subject(
            measurement, self.strength, self.seen.reindex(self.strength.index, fill_value="here"), self.observed
        )


def measured(
    name: str,
    model: Model,
    world: World,
    context: str,
    probes: Sequence[str],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    panels: Mapping[str, Mapping[str, Any]] | None = None,
    redrawn: int = 0,
    seed: int = 0,
    observed: xr.Dataset | None = None,
    seen: pd.Series | None = None,
    **sae: Any,
) -> Measured:
    """Measure a model in its context as the workflow does; `sae` and `pca` where given are what sae_features reads."""
    cells = world.cells[context].for_genes(model.genes)
    genes = {key: {part: each[part] for part in ("regulators", "targets")} for key, each in (panels or {}).items()}

    def measure(probe: str, copies: int, **more: Any) -> xr.Dataset:
        """Measure one probe, with so many copies of each kind; `more` is what it alone is given."""
        asked = {**SETTINGS[probe], **(settings or {}).get(probe, {})}
        inputs = MeasureInputs(
            model, cells, asked, panels=genes, contexts=tuple(each for each in world.cells.values()), **more
        )
        return measure_shard(probe, inputs, 0, 1, redrawn=copies, seed=seed)

    found = {probe: measure(probe, redrawn, **(sae if probe == "sae_features" else {})) for probe in probes}
    strength = delta_y.strength(measure("delta_y", 0))
    given = {} if seen is None else {"seen": seen}
    return Measured(name, context, cells, strength, found, observed, **given)


def question(
    probe: str, mine: Measured, other: Measured | None, programs: Programs, sizes: Mapping[str, Any], seed: int,
    panels: Mapping[str, Mapping[str, Any]] | None = None,
) -> TestInputs:  # fmt: skip
    """Return what a probe is asked of a model, or of it and that of the other context."""
    names = mine.strength.index
    return TestInputs(
        identity={
            "probe": probe,
            "model": mine.name,
            "reference": other.name if other else "",
            "context": mine.context,
            "regime": "unknown",
        },
        subject=mine.subject(probe),
        reference=other.subject(probe) if other else None,
        programs=programs,
        panels=read_panels(panels or {}, programs, names),
        cells=mine.cells,
        settings=SETTINGS[probe],
        comparison="contexts" if other else "",
        permutations=sizes["permutations"],
        bootstrap=99,  # of intervals, which no condition reads
        seed=seed,
    )


def inputs_of(
    made: World, context: str, model: Any, settings: Mapping[str, Any], seed: int, **more: Any
) -> MeasureInputs:
    """Return what a model of the world is measured with in one context; `more` replaces what the inputs hold."""
    given = {"contexts": tuple(made.cells.values()), "seed": seed, **more}
    return MeasureInputs(model, made.cells[context], settings, **given)


def strength_of(inputs: MeasureInputs) -> pd.Series:
    """Return the strength of every perturbation in the model, as if it were the subject."""
    return delta_y.strength(measure_shard("delta_y", replace(inputs, role=SUBJECT), 0, 1))


def question_of(
    name: str, context: str, subject: Subject, inputs: MeasureInputs, programs: Programs, sizes: Mapping[str, Any],
    seed: int, reference: Subject | None = None,
) -> TestInputs:  # fmt: skip
    """Return what a probe is asked of a model, or of it and another context's.

    Where `question` is asked of what `measured` measured, this one is asked of one probe's own measurement.
    """
    identity = {"probe": name, "model": context, "reference": "other" if reference else "", "context": context}
    return TestInputs(
        {**identity, "regime": "unknown"}, subject, reference, programs, {}, inputs.cells, inputs.settings,
        comparison="contexts" if reference else "", permutations=sizes["permutations"], bootstrap=99, seed=seed,
    )  # fmt: skip


def passing(table: pd.DataFrame, conditions: Sequence[tuple[str, str, Any]]) -> np.ndarray:
    """Return which rows pass under conditions [rows]; what could not be asked does not."""
    return np.array([judge(row, conditions).verdict == PASS for row in table.to_dict("records")], dtype=bool)


def family(tables: Iterable[pd.DataFrame], primary: str, controlled: str) -> pd.DataFrame:
    """Return the subject's rows of the primary statistic, one family for q, with a program each."""
    table = evidence.with_q(pd.concat(list(tables), ignore_index=True), primary, controlled)
    mine = (table.role == "subject") & (table.adjustment == "centred") & (table.program != "")
    return table[mine & (table.statistic == primary)]
