"""A probe in a simulated world: what it measures, what it is asked, and how its answers are judged."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.calibration.world import World
from pertprobe.controls import with_controls
from pertprobe.measuring import measure_shard
from pertprobe.probes import delta_y, load_probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.probes.questions import Wanted
from pertprobe.programs import Programs, read_panels
from pertprobe.roles import SUBJECT
from pertprobe.verdict import PASS, judge

Row = dict[str, Any]
BARS: dict[str | None, dict[str, Any]] = {
    "find": {"sense": "at least", "level": 0.95},
    "not find": {"sense": "at most", "level": 0.05},
    None: {},
}
"""What must come of a question -> the share of programs that may pass."""


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
        asked = read_panels(panels if probe.unit == "panel" else {}, programs, inputs.perturbations)
        return TestInputs(
            {**identity, "regime": "unknown"}, mine, others[0] if others else None, programs, asked, inputs.cells,
            settings, comparison=probe.pairs[0] if others else "", permutations=self.permutations, bootstrap=99,
            seed=self.seed, **more,
        )  # fmt: skip


def answers_of(inputs: TestInputs, statistics: Collection[str], *, published: bool = False) -> list[Row]:
    """Return the rows of these statistics, of the subject and of data beside it, with nothing but the test.

    `published`: and the published statistic.
    """
    wanted = Wanted(interval=False, published=published, ceiling=False)
    probe = inputs.identity["probe"]
    questions = load_probe(probe).questions(inputs.limited_to(declared(probe)))
    asked = [each for each in questions if each.statistic in statistics and each.adjustment == "centred"]
    return [row for each in asked for row in each.rows(inputs.as_role(each.role), wanted)]


def compared(probe: Declaration, inputs: TestInputs) -> pd.DataFrame:
    """Return the rows of the statistic that planted models are compared in, co-expression beside it."""
    published = any(column.endswith("_published") for column, *_ in probe.thresholds)
    rows = evidence.frame(answers_of(inputs, [probe.compared_in], published=published))
    return with_controls(rows, probe.compared_in, probe.compared_in, probe.common_scale)


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
