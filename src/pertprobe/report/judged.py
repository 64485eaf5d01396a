"""Verdicts beside the evidence they were read from, each with its sentence: what cards, matrix and details show."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pertprobe.report.words.verdicts import verdict_sentence
from pertprobe.roles import SUBJECT

KEYS = ["probe", "statistic", "model", "reference", "program", "panel"]
NUMBERS = [
    *("unit", "n", "n_background", "estimate", "null_mean", "null_sd", "effect", "unit_sd", "ci_low", "ci_high"),
    *("p", "p_stratified", "p_used", "q", "n_permutations", "ceiling", "disattenuated", "share_low", "share_high"),
    *("excess_redrawn", "excess_redrawn_low", "excess_redrawn_high"),
    *("excess_rivals", "excess_rivals_low", "excess_rivals_high", "estimate_published", "p_published"),
]
"""Columns of the evidence that are shown beside a verdict."""
MOST = 60_000
"""Rows of the evidence that a page holds; of more only those that verdicts read."""


def of_subjects(evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that speak of a program of a model itself."""
    return evidence[(evidence.role == SUBJECT) & (evidence.adjustment == "centred") & (evidence.program != "")]


def judged(
    verdicts: pd.DataFrame,
    evidence: pd.DataFrame,
    models: Mapping[str, Any],
    questions: Mapping[str, str],
    interest: float,
) -> pd.DataFrame:
    """Return the verdicts with `NUMBERS` of their evidence rows and a column `sentence`."""
    mine = of_subjects(evidence)[KEYS + NUMBERS].drop_duplicates(KEYS)
    joined = verdicts.merge(mine, on=KEYS, how="left", validate="one_to_one")
    joined = joined.assign(
        n=joined.n.fillna(0).astype(int), unit=joined.unit.fillna(""), p_used=joined.p_used.fillna("")
    )
    rows = joined.to_dict("records")
    return joined.assign(sentence=[verdict_sentence(row, models, questions, interest) for row in rows])


def further(verdicts: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the other statistics of the same questions; nothing where they are too many."""
    mine = of_subjects(evidence)
    primary = set(zip(verdicts.probe, verdicts.statistic, strict=True))
    others = [pair not in primary for pair in zip(mine.probe, mine.statistic, strict=True)]
    rows = mine[pd.Series(others, index=mine.index, dtype=bool) & mine.evaluable]
    return rows if len(rows) + len(verdicts) <= MOST else rows.iloc[:0]
