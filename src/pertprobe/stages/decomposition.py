"""What each program comes from: the backbone, the fine-tune, or neither, and where the two regimes contradict."""

from collections.abc import Collection, Mapping, Sequence
from math import nan
from typing import Any

import pandas as pd

from pertprobe import evidence
from pertprobe.roles import SUBJECT
from pertprobe.stages.verdict import FAIL, NOT_EVALUABLE, PASS, Condition, verdicts

SOURCES = {"backbone": "agreement", "fine_tune": "gained", "anti_correlated": "anticorrelation"}
"""Column of the table -> the statistic that answers it."""
WORDS = {"backbone": "backbone", "fine_tune": "fine-tune", "anti_correlated": "anti-correlated"}
KEYS = ["model", "reference", "program"]
COLUMNS = [*KEYS, "n", "r", "r_partners", "r_published", "ceiling", "disattenuated", *SOURCES, "reading", "reason"]


def decomposition(
    table: pd.DataFrame,
    r: Mapping[tuple[str, str, str], float],
    conditions: Sequence[Condition],
    interest: Mapping[str, float],
) -> pd.DataFrame:
    """Return one row per pair and program: the columns COLUMNS.

    Three questions, each judged as a verdict is, under the conditions of the probe, with a family of its own for q.
    backbone: the zero-shot model answers the program's perturbations as the few-shot model does. fine_tune: the
    program is more coherent in the few-shot model. anti_correlated: the two agree less than on others of like strength,
    and their mean r is negative. The reading names what passes; none where all three fail.

    Args:
        table: the evidence of the probe.
        r: (model, reference, program) -> mean r of the program's perturbations; those without are nan.
        conditions: of the probe, on evidence columns.
        interest: as in `verdict.verdicts`.
    """
    answers = {column: _answers(table, statistic, conditions, interest) for column, statistic in SOURCES.items()}
    mine = table[(table.role == SUBJECT) & (table.adjustment == "centred") & (table.reference != "")]
    found = [
        _row(row, r.get(key, nan), {column: each[key] for column, each in answers.items()})
        for row in mine[mine.statistic == SOURCES["backbone"]].to_dict("records")
        for key in [tuple(row[name] for name in KEYS)]
    ]
    return pd.DataFrame(found, columns=COLUMNS)


def mean_r(perturbations: pd.DataFrame, programs: Mapping[str, Collection[str]]) -> dict[tuple[str, str, str], float]:
    """Return (model, reference, program) -> mean r, from the table of perturbations of regime_agreement."""
    return {
        (*pair, program): rows.r[rows.perturbation.isin(listed)].mean()
        for pair, rows in perturbations.groupby(KEYS[:2], sort=False)
        for program, listed in programs.items()
    }


Answer = tuple[str, str]
"""Verdict and reason."""


def _answers(
    table: pd.DataFrame, statistic: str, conditions: Sequence[Condition], interest: Mapping[str, float]
) -> dict[tuple[str, str, str], Answer]:
    """Return the answer of each pair and program in one statistic."""
    names = dict.fromkeys(table.probe.unique(), statistic)
    asked = evidence.with_q(table, statistic, statistic)
    found = verdicts(asked, dict.fromkeys(names, conditions), names, controlled=names, interest=interest)
    return {tuple(row[name] for name in KEYS): (row["verdict"], row["reason"]) for row in found.to_dict("records")}


def _row(row: Mapping[str, Any], r: float, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return one program's row from its evidence of agreement and the three answers."""
    said = dict(answers)
    if said["anti_correlated"][0] == PASS and not r < 0:
        said["anti_correlated"] = FAIL, "the mean r is not negative"
    verdict = {column: answer for column, (answer, _) in said.items()}
    numbers = {name: row[name] for name in (*KEYS, "n", "ceiling", "disattenuated")}
    numbers |= {"r": r, "r_partners": r - row["estimate"], "r_published": row["estimate_published"]}
    reasons = (f"{WORDS[column]}: {reason}" for column, (_, reason) in said.items() if reason)
    return {**numbers, **verdict, "reading": _reading(verdict), "reason": evidence.joined(*reasons)}


def _reading(verdict: Mapping[str, str]) -> str:
    passed = " and ".join(WORDS[column] for column, answer in verdict.items() if answer == PASS)
    return passed or ("none" if set(verdict.values()) == {FAIL} else NOT_EVALUABLE)
