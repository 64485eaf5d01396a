"""Evidence -> the answer: mechanism, co-variation, lookup, not predicted, or unresolved. Knows no probe by name.

Of a program, and of all genes of a model, from shares of what the data allow: how much of what knock-downs do silencing
the gene says beyond co-variation (mechanism), with it (fidelity), and how much the model's code says (accuracy).
"""

from collections.abc import Mapping
from math import ceil, nan
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pertprobe.evidence import joined
from pertprobe.files import read_table
from pertprobe.roles import KNOWN, SUBJECT

MECHANISM, COVARIATION, LOOKUP = "mechanism", "co-variation", "lookup"
NOT_PREDICTED, UNRESOLVED = "not predicted", "unresolved"
ANSWERS = MECHANISM, COVARIATION, LOOKUP, NOT_PREDICTED, UNRESOLVED
ASPECTS = "mechanism", "fidelity", "accuracy"
"""What shares are of; a probe declares its statistic of each."""
ALL_GENES = "_all_genes"
"""End of the name of a statistic of all genes."""
LIMITS = {"delta": 0.25, "most": 0.5}
"""Share of the ceiling that counts, and share that alone is enough, or is too much for co-variation."""
COLUMNS = [
    *("program", "model", "role", "context", "regime", "answer", "reason", "n", "n_asked", "reach"),
    *(f"{aspect}{end}" for aspect in ASPECTS for end in ("", "_low", "_high")),
]

TEXTS = COLUMNS[: COLUMNS.index("n")]
"""Columns that hold words; empty ones are no missing numbers."""


class Shares(NamedTuple):
    """A share of what the data allow, with its 95 % interval; nan where it is not known."""

    share: float = nan
    low: float = nan
    high: float = nan

    @property
    def known(self) -> bool:
        """Return whether there is an interval."""
        return self.low == self.low

    def __str__(self) -> str:
        """Say it."""
        return f"{self.share:.2f} ({self.low:.2f} to {self.high:.2f})" if self.known else "not known"


class Answer(NamedTuple):
    """One answer, and what it rests on."""

    answer: str
    reason: str


def answer(shares: Mapping[str, Shares], reach: float, n: int, limits: Mapping[str, float] | None = None) -> Answer:
    """Return the answer of these genes (methods.md, The answer).

    Args:
        shares: of mechanism, fidelity and accuracy.
        reach: share of the genes of which silencing moves any other output.
        n: number of genes.
        limits: `delta`, the share that counts, and `most`.
    """
    delta, most = ({**LIMITS, **(limits or {})}[key] for key in ("delta", "most"))
    mechanism, fidelity, accuracy = (shares[aspect] for aspect in ASPECTS)
    said = "; ".join(f"{aspect} {shares[aspect]}" for aspect in ASPECTS)
    if reach == 0:
        return Answer(LOOKUP, f"by construction: silencing a gene moves no other output; accuracy {accuracy}")
    if not mechanism.known or not fidelity.known:
        return Answer(UNRESOLVED, "two halves of the observed cells do not agree enough on these genes to compare with")
    if mechanism.low > delta or (mechanism.low > 0 and mechanism.share >= most):
        return Answer(MECHANISM, said)
    if fidelity.high < delta and accuracy.known and accuracy.low > 0:
        return Answer(LOOKUP, said)  # before co-variation: of a fidelity above 0 that is too small to count
    if fidelity.low > 0 and mechanism.high < most:
        return Answer(COVARIATION, said)
    if fidelity.high < delta and accuracy.known and accuracy.high < delta:
        return Answer(NOT_PREDICTED, said)
    return Answer(UNRESOLVED, joined(said, _wanted(mechanism, fidelity, n, delta)))


def _wanted(mechanism: Shares, fidelity: Shares, n: int, delta: float) -> str:
    """Say how many genes like these would make both intervals as narrow as the share that counts."""
    widest = max((each.high - each.low) / 2 for each in (mechanism, fidelity))
    needed = ceil(n * (widest / delta) ** 2)
    return f"{n} genes; of {needed} like these the intervals would be narrow enough" if needed > n else ""


def answers(
    evidence: pd.DataFrame, statistics: Mapping[str, str], limits: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Return the answer of each program and of all genes (no program) of each model, and of those of known kind.

    The latter stand beside the model whose genes and cells they were given; `role` says which kind.

    Args:
        evidence: rows of the probe that answers.
        statistics: aspect, and reach -> its statistic.
        limits: see `answer`.
    """
    mine = evidence[evidence.role.isin([SUBJECT, *KNOWN]) & (evidence.reference == "")]
    rows = []
    for (model, role, context, regime), table in mine.groupby(["model", "role", "context", "regime"], sort=True):
        for program in sorted(set(table.program) | {""}):
            end = "" if program else ALL_GENES
            found = {aspect: _row(table, program, statistics[aspect] + end) for aspect in ASPECTS}
            reach = _row(table, program, statistics["reach"])
            who = {"program": program, "model": model, "role": role, "context": context, "regime": regime}
            rows.append({**who, **_answered(table, program, found, reach, limits)})
    return pd.DataFrame(rows, columns=COLUMNS)


def read_answers(path: str | Path | None) -> pd.DataFrame:
    """Read the answers of a run; none, where it has no probe that answers, is a table without rows."""
    return read_table(path, TEXTS) if path else pd.DataFrame(columns=COLUMNS)


def _row(table: pd.DataFrame, program: str, statistic: str) -> Mapping[str, Any] | None:
    found = table[(table.program == program) & (table.statistic == statistic)]
    return found.iloc[0].to_dict() if len(found) else None


def _answered(
    table: pd.DataFrame,
    program: str,
    found: Mapping[str, Mapping[str, Any] | None],
    reach: Mapping[str, Any] | None,
    limits: Mapping[str, float] | None,
) -> dict[str, Any]:
    shares = {aspect: _shares(row) for aspect, row in found.items()}
    first = found["mechanism"]
    moved = reach["estimate"] if reach is not None and reach["evaluable"] else nan
    n = int(first["n"]) if first is not None else 0
    if moved == 0 or (first is not None and first["evaluable"]):
        said = answer(shares, moved, n, limits)
    else:
        refused = table[(table.program == program) & ~table.evaluable].reason if first is None else [first["reason"]]
        said = Answer(UNRESOLVED, "; ".join(dict.fromkeys(refused)) or "not asked")
    numbers = {
        f"{aspect}{end}": value
        for aspect, share in shares.items()
        for end, value in zip(("", "_low", "_high"), share, strict=True)
    }
    asked = int(reach["n"]) if reach is not None else n
    return {**said._asdict(), "n": n, "n_asked": asked, "reach": moved, **numbers}


def _shares(row: Mapping[str, Any] | None) -> Shares:
    if row is None or not row["evaluable"]:
        return Shares()
    return Shares(row["disattenuated"], row["share_low"], row["share_high"])
