"""What could not be asked, why, and what would make it askable."""

from typing import Any

import pandas as pd

from pertprobe.report.tables import Table, table
from pertprobe.report.words.names import listed
from pertprobe.report.words.remedies import kind, remedy
from pertprobe.stages.verdict import NOT_EVALUABLE


def unasked(verdicts: pd.DataFrame) -> Table:
    """Return a row for each probe and reason: how many programs, in which models, and the remedy."""
    rows = verdicts[verdicts.verdict == NOT_EVALUABLE]
    rows = rows.assign(why=rows.reason.map(kind) if len(rows) else "", needed=_needed(rows))
    found: list[dict[str, Any]] = [
        {"probe": probe, "why": why, "needed": group.needed.iloc[0], "programs": group.program.nunique(),
         "which": listed(sorted(group.program.unique())), "models": listed(group.model)}
        for (probe, why), group in rows.groupby(["probe", "why"], sort=False)
    ]  # fmt: skip
    headings = {"probe": "Probe", "why": "Why not", "needed": "What it takes", "programs": "Programs", "which": "Which",
                "models": "Models"}  # fmt: skip
    shown = pd.DataFrame(found, columns=list(headings)).sort_values("programs", ascending=False, kind="stable")
    return table("unasked-table", "Questions without an answer", shown, headings, "verdicts.tsv")


def _needed(rows: pd.DataFrame) -> list[str]:
    median = rows.groupby("probe").smallest_effect.transform("median") if len(rows) else rows.smallest_effect
    return [remedy(reason, found) for reason, found in zip(rows.reason, median, strict=True)]


def asked(evaluability: pd.DataFrame) -> Table:
    """Return how many programs or panels each probe can ask about, by model: the answer of the inputs alone."""
    enough = evaluability.assign(enough=evaluability.enough.astype(str) == "True")
    counts = enough.groupby(["probe", "model"], sort=False).enough.agg(can="sum", of="size").reset_index()
    headings = {"probe": "Probe", "model": "Model", "can": "Programs or panels with enough", "of": "Of"}
    return table("evaluability-table", "Programs large enough to be asked", counts, headings, "inputs/evaluability.tsv")
