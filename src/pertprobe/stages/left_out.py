"""Verdicts of models that a run went on without."""

from collections.abc import Mapping

import pandas as pd

from pertprobe.stages.verdict import NOT_EVALUABLE, NUMBERS, VERDICT_COLUMNS

ASKED = ["probe", "statistic", "program", "panel"]
"""Columns that say what was asked."""


def with_left_out(verdicts: pd.DataFrame, left_out: Mapping[str, str]) -> pd.DataFrame:
    """Return verdicts with a row for each question that would have been asked of models that are left out.

    `left_out` says why of each. What was asked is read from the other models; pairs are not asked about.
    """
    asked = verdicts.loc[verdicts.reference == "", ASKED].drop_duplicates()
    blank = dict.fromkeys(NUMBERS, float("nan")) | dict.fromkeys({*VERDICT_COLUMNS} - NUMBERS - {*ASKED}, "")
    rows = [
        asked.assign(**{**blank, "model": model, "verdict": NOT_EVALUABLE, "reason": why})
        for model, why in left_out.items()
    ]
    return pd.concat([verdicts, *(each[VERDICT_COLUMNS] for each in rows)], ignore_index=True) if rows else verdicts
