"""The controls of a row, put beside it: is the effect larger than that of untrained copies, and of co-expression?"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pertprobe import evidence
from pertprobe.roles import CASCADE, COEXPRESSION, REDRAWN, SUBJECT


def with_controls(
    table: pd.DataFrame, primary: str, controlled: str, correlations: Collection[str] = ()
) -> pd.DataFrame:
    """Fill redrawn_max, p_redrawn, exceeds_redrawn and exceeds_coexpression of the subject's rows.

    Effects are compared as `evidence.comparable` says. Copies are compared with the model in the statistic
    `controlled`, which may be taken on other activations than `primary`, by the same measure on both sides.

    Args:
        table: evidence rows of one test: the subject, its copies, planted models and references.
        primary: the statistic that verdicts read.
        controlled: the statistic that copies have.
        correlations: statistics on a common scale.
    """
    z = evidence.comparable(table, correlations).where(table.evaluable)
    mine = (table.role == SUBJECT) & (table.adjustment == "centred")
    rows = table.to_dict("records")
    found = [_compared(row, table, z, primary, controlled) if mine[i] else {} for i, row in enumerate(rows)]
    return evidence.frame({**row, **more} for row, more in zip(rows, found, strict=True))


def _compared(
    row: Mapping[str, Any], table: pd.DataFrame, z: pd.Series, primary: str, controlled: str
) -> dict[str, Any]:
    """Return what the copies and the co-expression row say of one subject row."""
    same = (table.program == row["program"]) & (table.panel == row["panel"]) & (table.adjustment == "centred")
    statistic = controlled if row["statistic"] == primary else row["statistic"]
    asked = same & (table.statistic == statistic)
    own = z[asked & (table.role == SUBJECT)]
    copies = z[asked & table.role.isin(REDRAWN)].dropna()
    columns: dict[str, Any] = {}
    if len(own) == 1 and own.notna().all() and len(copies):
        columns = _against_copies(float(own.iloc[0]), copies.to_numpy())
    rival = z[same & (table.role == COEXPRESSION) & (table.statistic == row["statistic"])].dropna()
    itself = z[same & (table.role == SUBJECT) & (table.statistic == row["statistic"])].dropna()
    if len(rival) == 1 and len(itself) == 1:
        columns["exceeds_coexpression"] = bool(itself.iloc[0] > rival.iloc[0])
    return columns


def _against_copies(own: float, copies: np.ndarray) -> dict[str, Any]:
    largest, reached = float(copies.max()), int((copies >= own).sum())
    return {
        "redrawn_max": largest,
        "p_redrawn": (reached + 1) / (len(copies) + 1),
        "exceeds_redrawn": own > largest,
    }


def cascade_statistic(statistic: str, variant: str) -> str:
    """Return the name under which a copy re-drawn from the output down stands in the evidence."""
    return f"{statistic}_{variant}" if variant.startswith(CASCADE) else statistic


def stages_redrawn(statistic: str, controlled: str) -> str:
    """Return the last stage re-drawn in a statistic that `cascade_statistic` named; empty for any other."""
    start = f"{controlled}_{CASCADE}_"
    return statistic.removeprefix(start) if statistic.startswith(start) else ""


def pairs_of_copies(ours: list[str], theirs: list[str], *, common_seed: bool) -> list[tuple[str, str]]:
    """Return which copy of a model is compared with which of its reference.

    Copies of one number were drawn with one seed. Models that share their initialisation are judged against such pairs,
    all others against copies of different seeds (methods.md, Untrained copies: the architecture null). Planted models
    and cascades go by their name.
    """
    found = []
    for name in ours:
        kind, _, number = name.rpartition("_")
        if kind in REDRAWN and not common_seed:
            others = sorted(int(each.rpartition("_")[2]) for each in theirs if each.rpartition("_")[0] == kind)
            name_b = f"{kind}_{others[int(number) % len(others)]}" if others else ""
            if name_b != name and name_b:
                found.append((name, name_b))
        elif name in theirs:
            found.append((name, name))
    return found
