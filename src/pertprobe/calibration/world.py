"""A probe in a simulated world: cells and models, what it measures, what it is asked, and how answers are judged."""

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import context_source, read_cells
from pertprobe.data.observed import observe
from pertprobe.data.programs import Programs, read_panels
from pertprobe.data.simulate import CONTROL, Simulation, simulate, write_simulation
from pertprobe.probes import delta_y, load_probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.probes.questions import Wanted
from pertprobe.roles import SUBJECT
from pertprobe.stages.measuring import measure_shard
from pertprobe.stages.verdict import PASS, judge

Row = dict[str, Any]
FOUND, NOMINAL = {"sense": "at least", "level": 0.95}, {"sense": "at most", "level": 0.05}
BARS: dict[str | None, dict[str, Any]] = {"find": FOUND, "not find": NOMINAL, None: {}}
"""What must come of a question -> the share of programs that may pass."""
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


@dataclass(frozen=True)
class Case:
    """One probe in one simulated world."""

    probe: Declaration
    made: World
    permutations: int
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    """In place of the default ones."""

    def inputs(self, context: str, model: Any, **more: Any) -> MeasureInputs:
        """Return what a model is measured with in one context; `more` replaces what else the inputs hold."""
        wanted = declared(self.probe.measurement).default_settings | self.settings
        cells, contexts = self.made.cells[context].for_genes(model.genes), tuple(self.made.cells.values())
        given = {"panels": self.made.panels, "contexts": contexts, "seed": self.seed, **more}
        return MeasureInputs(model, cells, wanted, **given)

    def subject(self, inputs: MeasureInputs, observed: xr.Dataset | None = None, **copies: Any) -> Subject:
        """Measure a model, with untrained copies where `copies` asks for them, as a test is given it."""
        found = measure_shard(self.probe.measurement, inputs, 0, 1, **copies)
        strength = delta_y.strength(measure_shard("delta_y", replace(inputs, role=SUBJECT, settings={}), 0, 1))
        return Subject(found, strength, pd.Series("here", strength.index), observed)

    def question(
        self, inputs: MeasureInputs, sides: Sequence[Subject], programs: Programs, panels: Mapping[str, Any],
        **more: Any,
    ) -> TestInputs:  # fmt: skip
        """Return what the probe is asked of a measured model, or of two; `more` is what else the inputs hold."""
        probe, (mine, *others), context = self.probe, sides, inputs.cells.context
        identity = {"probe": probe.name, "model": context, "reference": "other" if others else "", "context": context}
        settings = probe.default_settings | self.settings
        settings |= {probe.files: {"truth": str(self.made.path.parent / f"{probe.files}.tsv")}} if probe.files else {}
        settings |= {"partners": []} if probe.partners else {}
        settings |= {"pooled": [context, "other"]} if probe.pooled else {}
        asked = read_panels(panels if probe.of_panels else {}, programs, inputs.perturbations)
        return TestInputs(
            {**identity, "regime": "unknown"}, mine, others[0] if others else None, programs, asked, inputs.cells,
            settings, comparison=probe.pairs[0] if others else "", permutations=self.permutations, bootstrap=99,
            seed=self.seed, **more,
        )  # fmt: skip


def answers_of(
    inputs: TestInputs, statistics: Collection[str], *, published: bool = False, data: bool = True
) -> list[Row]:
    """Return the rows of these statistics, with nothing but the test.

    `published`: and the published statistic; `data`: and those of the data that stand beside the subject's.
    """
    wanted = Wanted(interval=False, published=published, ceiling=False, further=False)
    probe = inputs.identity["probe"]
    questions = load_probe(probe).questions(inputs.limited_to(declared(probe)))
    asked = (each for each in questions if each.statistic in statistics and each.adjustment == "centred")
    return [
        row for each in asked if data or each.role == SUBJECT for row in each.rows(inputs.as_role(each.role), wanted)
    ]


def of_programs(table: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Return the model's own rows of a statistic that are about a program."""
    mine = (table.role == SUBJECT) & (table.adjustment == "centred") & (table.program != "")
    return table[mine & (table.statistic == statistic)]


def family(tables: Iterable[pd.DataFrame], statistic: str) -> pd.DataFrame:
    """Return the rows of programs of several tables as one family for q."""
    return of_programs(evidence.with_q(pd.concat(list(tables), ignore_index=True), statistic, statistic), statistic)


def passing(table: pd.DataFrame, conditions: Sequence[tuple[str, str, Any]]) -> np.ndarray:
    """Return which rows pass under conditions [rows]; what could not be asked does not.

    Without conditions the p that is used must be below 0.05.
    """
    if not conditions:
        return (table.evaluable & (evidence.used_p(table) < 0.05)).to_numpy(dtype=bool)
    return np.array([judge(row, conditions).verdict == PASS for row in table.to_dict("records")], dtype=bool)
