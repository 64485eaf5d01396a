"""A probe's own questions, put to whatever is to be calibrated, and how their answers are judged."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pertprobe import evidence
from pertprobe.calibration.world import World, settings_of
from pertprobe.controls import with_controls
from pertprobe.probes import load_probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.probes.questions import Wanted
from pertprobe.programs import Programs, read_panels
from pertprobe.roles import SUBJECT
from pertprobe.verdict import PASS, judge

Row = dict[str, Any]


def answers_of(inputs: TestInputs, statistics: Collection[str], *, published: bool = False) -> list[Row]:
    """Return the rows of these statistics, of the subject and of data beside it, with nothing but the test.

    `published`: and the published statistic.
    """
    wanted = Wanted(interval=False, published=published, ceiling=False)
    probe = inputs.identity["probe"]
    questions = load_probe(probe).questions(inputs.limited_to(declared(probe)))
    asked = [each for each in questions if each.statistic in statistics and each.adjustment == "centred"]
    return [row for each in asked for row in each.rows(inputs.as_role(each.role), wanted)]


def question(
    probe: str, made: World, inputs: MeasureInputs, sides: Sequence[Subject], programs: Programs, permutations: int,
    *, panels: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any], seed: int, **more: Any,
) -> TestInputs:  # fmt: skip
    """Return what a probe is asked of a measured model, or of two; `more` replaces what else the inputs hold."""
    declaration, (mine, *others) = declared(probe), sides
    context, names = inputs.cells.context, inputs.perturbations
    identity = {"probe": probe, "model": context, "reference": "other" if others else "", "context": context}
    given = settings_of(declaration, made) | settings
    given |= ({"partners": []} if declaration.partners else {}) | (
        {"pooled": [context, "other"]} if declaration.pooled else {}
    )
    return TestInputs(
        {**identity, "regime": "unknown"},
        subject=mine,
        reference=others[0] if others else None,
        programs=programs,
        panels=read_panels(panels if declaration.unit == "panel" else {}, programs, names),
        cells=inputs.cells,
        settings=given,
        comparison=declaration.pairs[0] if others else "",
        permutations=permutations,
        bootstrap=99,  # of intervals, which no condition reads
        seed=seed,
        **more,
    )


def family(tables: Iterable[pd.DataFrame], statistic: str) -> pd.DataFrame:
    """Return the subject's rows of a statistic, one family for q, with a program each."""
    table = evidence.with_q(pd.concat(list(tables), ignore_index=True), statistic, statistic)
    mine = (table.role == SUBJECT) & (table.adjustment == "centred") & (table.program != "")
    return table[mine & (table.statistic == statistic)]


def controlled(declaration: Declaration, inputs: TestInputs) -> pd.DataFrame:
    """Return the rows of the statistic that planted models are compared in, co-expression beside it."""
    statistic, published = declaration.compared_in, _reads_published(declaration)
    rows = evidence.frame(answers_of(inputs, [statistic], published=published))
    return with_controls(rows, statistic, statistic, declaration.common_scale)


def _reads_published(declaration: Declaration) -> bool:
    return any(column.endswith("_published") for column, *_ in declaration.thresholds)


def passing(table: pd.DataFrame, conditions: Sequence[tuple[str, str, Any]]) -> np.ndarray:
    """Return which rows pass under conditions [rows]; what could not be asked does not.

    Without conditions the p that is used must be below 0.05.
    """
    if not conditions:
        return (table.evaluable & (evidence.used_p(table) < 0.05)).to_numpy(dtype=bool)
    return np.array([judge(row, conditions).verdict == PASS for row in table.to_dict("records")], dtype=bool)
