"""The answer in words: what silencing genes, co-variation and the perturbation's name say, each with its numbers."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pertprobe.errors import in_a_row
from pertprobe.report.words.names import KINDS, counted, interval, sentence, times
from pertprobe.roles import KNOWN
from pertprobe.stages.answer import COVARIATION, LOOKUP, MECHANISM, NOT_PREDICTED, UNRESOLVED

SAID = {
    MECHANISM: "silencing {genes} in the cells changes its prediction as the real knock-downs do, beyond what "
    "co-variation foretells ({mechanism})",
    COVARIATION: "silencing {genes} in the cells changes its prediction as the real knock-downs do ({fidelity}), and "
    "nothing beyond what co-variation foretells was shown ({mechanism})",
    LOOKUP: "it knows the responses by the perturbation's name ({accuracy}); silencing {genes} in the cells does not "
    "change its prediction as the real knock-downs do ({fidelity})",
    NOT_PREDICTED: "it foretells the observed responses neither by the perturbation's name ({accuracy}) nor where "
    "{genes} are silenced in the cells ({fidelity})",
}
"""Answer -> its sentence about a model; each holds the shares that the answer rests on and no other."""
CONSTRUCTION = (
    "it can know responses by the perturbation's name alone ({accuracy}): silencing a gene in the cells moves no other "
    "output"
)
OPEN = (
    "whether it holds the mechanism is open: the intervals allow more than one answer (beyond co-variation "
    "{mechanism}; with it {fidelity}; by name {accuracy}){needed}"
)


def answer_sentence(row: Mapping[str, Any]) -> str:
    """Return one row of `answers.tsv` as a sentence about "it", the model, without a capital and full stop."""
    shares = {name: _share(row, name) for name in ("mechanism", "fidelity", "accuracy")}
    genes = counted(int(row["n"]), "gene")
    if row["answer"] == LOOKUP and row["reach"] == 0:
        return CONSTRUCTION.format(**shares)
    if row["answer"] in SAID:
        return SAID[row["answer"]].format(genes=genes, **shares)
    if row["reason"].startswith("mechanism "):
        return OPEN.format(**shares, needed=_needed(row["reason"]))
    return f"whether it holds the mechanism is open: {row['reason']}"


def _share(row: Mapping[str, Any], name: str) -> str:
    return interval(*(row[f"{name}{end}"] for end in ("", "_low", "_high")))


def _needed(reason: str) -> str:
    """Return how many genes would be enough, where the reason says so."""
    last = reason.rpartition("; ")[2]
    return f"; {last}" if last.endswith("narrow enough") else ""


def answers(readings: pd.DataFrame) -> Iterator[str]:
    """Yield which models have which answer, of all their perturbed genes together; nothing where none has any."""
    whole = readings[(readings.program == "") & (readings.answer != "")]
    for answer, rows in whole.groupby("answer", sort=False):
        yield f"Asked of all perturbed genes together, the answer is {answer} for {in_a_row(list(rows.model))}."


def single_programs(readings: pd.DataFrame) -> str:
    """Return how many programs have which answer by themselves; nothing where none has any."""
    alone = readings[(readings.program != "") & (readings.answer != "")]
    if alone.empty:
        return ""
    counts = [f"{answer} {times(count)}" for answer, count in alone.answer.value_counts(sort=True).items()]
    return f"Asked of single programs, {len(alone):,} in all, it is {in_a_row(counts)}."


def known_kinds(scorecard: pd.DataFrame) -> str:
    """Return what models whose kind is known are called; nothing where none stands beside the run's."""
    known = scorecard[scorecard.role.isin(KNOWN) & (scorecard.answer != "")]
    said = [
        f"{KINDS[role]} is called {' and '.join(dict.fromkeys(rows.answer))}"
        for role, rows in known.groupby("role", sort=False)
    ]
    if not said:
        return ""
    return f"Beside them, on the same cells and genes, stand models whose kind is known: {'; '.join(said)}."


def whole_answers(answered: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Yield (model, answer, sentence) of all perturbed genes of each model of the run, from `answers.tsv`."""
    mine = answered[(answered.role == "subject") & (answered.program == "")]
    for row in mine.to_dict("records"):
        yield row["model"], row["answer"], sentence(answer_sentence(row))


def unresolved(row: Mapping[str, Any]) -> bool:
    """Return whether a row of `answers.tsv` leaves the question open."""
    return row["answer"] == UNRESOLVED
