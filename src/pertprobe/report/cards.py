"""A card for each program: its answer in each model and why, in sentences."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pertprobe.errors import in_a_row
from pertprobe.report.words.answers import answer_sentence, unresolved
from pertprobe.report.words.comparisons import program_sentence
from pertprobe.report.words.names import sentence, the_kind, the_model
from pertprobe.report.words.remedies import kind, remedy
from pertprobe.report.words.verdicts import verdict_sentence
from pertprobe.roles import SUBJECT
from pertprobe.stages.verdict import FAIL, NOT_EVALUABLE, PASS

MOST = 60
"""Cards that the page holds as HTML; further ones are made of the data when they are asked for."""
Row = Mapping[str, Any]


class Told(NamedTuple):
    """What cards are made of, found by program."""

    verdicts: Mapping[str, Sequence[Row]]
    answers: Mapping[tuple[str, str], Row]
    """(program, model) -> its row of `answers.tsv`."""
    readings: Mapping[tuple[str, str, str], Row]
    """(program, model, reference) -> its row of `readings.tsv`; the reference is empty where one model is read."""
    pairs: Mapping[str, Sequence[Row]]
    """Program -> its rows of pairs."""


def cards(
    verdicts: pd.DataFrame, answered: pd.DataFrame, readings: pd.DataFrame, order: Sequence[str], params: Any
) -> list[dict[str, Any]]:
    """Return a card for each program of `order`: its name, and for each model the answer and its sentences.

    Args:
        verdicts: those of `judged`.
        answered: `answers.tsv`.
        readings: `readings.tsv`.
        order: programs, in the order of the page.
        params: those of the rule `report`.
    """
    told = _told(verdicts, answered, readings)
    return [{"place": place, **_card(program, told, params)} for place, program in enumerate(order)]


def _told(verdicts: pd.DataFrame, answered: pd.DataFrame, readings: pd.DataFrame) -> Told:
    rows: dict[str, list[Row]] = {}
    for row in verdicts.to_dict("records"):
        rows.setdefault(row["program"], []).append(row)
    said = {(row["program"], row["model"]): row for row in answered[answered.role == SUBJECT].to_dict("records")}
    levels = readings[readings.probe == ""].to_dict("records")
    read = {(row["program"], row["model"], row["reference"]): row for row in levels}
    pairs: dict[str, list[Row]] = {}
    for row in levels:
        if row["reference"]:
            pairs.setdefault(row["program"], []).append(row)
    return Told(rows, said, read, pairs)


def _card(program: str, told: Told, params: Any) -> dict[str, Any]:
    rows, models = told.verdicts[program], []
    for model in params.models:
        mine = [row for row in rows if row["model"] == model]
        answer = told.answers.get((program, model))
        if mine or answer:
            words = list(_sentences(mine, answer, model, params))
            models.append({"name": model, "answer": answer["answer"] if answer else "", "sentences": words})
    compared = (_pair(row, told.readings, params) for row in told.pairs.get(program, ()))
    return {
        "program": program,
        "models": models,
        "compared": [text for text in compared if text],
        "open": list(not_evaluable(rows, params.models)),
        "clear": _clear(program, rows, told, params.models),
    }


def _clear(program: str, rows: Sequence[Row], told: Told, models: Collection[str]) -> bool:
    """Return whether anything about a program was answered: a pass, a fail, or an answer that is resolved."""
    said = [told.answers[program, model] for model in models if (program, model) in told.answers]
    return any(row["verdict"] != NOT_EVALUABLE for row in rows) or not all(map(unresolved, said))


def _sentences(rows: Sequence[Row], answer: Row | None, model: str, params: Any) -> Iterator[str]:
    """Yield the answer, what passes and what fails."""
    interest = params.interest["d"]
    if answer:
        said = answer_sentence(answer)
        yield sentence(said.replace("its prediction", f"the prediction of {the_kind(model, params.models)}", 1))
    for verdict in (PASS, FAIL):
        for row in rows:
            if row["verdict"] == verdict:
                yield verdict_sentence(row, params.models, params.questions, interest, named=False)


def not_evaluable(rows: Sequence[Row], models: Collection[str]) -> Iterator[str]:
    """Yield, for each reason, which probes it kept from an answer in which models, and what would make them askable."""
    together: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in rows:
        if row["verdict"] == NOT_EVALUABLE:
            who = f"{row['model']} against {row['reference']}" if row["reference"] else row["model"]
            probes = together.setdefault((kind(row["reason"]), remedy(row["reason"])), {})
            probes.setdefault(row["probe"], []).append(who)
    for (reason, needed), probes in together.items():
        said = [
            f"{probe} ({'all models' if set(who) == set(models) else in_a_row(unique(who))})"
            for probe, who in probes.items()
        ]
        yield f"Not evaluable by {in_a_row(said)}: {reason}. It takes {needed}."


def unique(names: Sequence[str]) -> list[str]:
    """Return names without repetitions, in their order."""
    return list(dict.fromkeys(names))


def _pair(row: Row, levels: Mapping[tuple[str, str, str], Row], params: Any) -> str:
    """Return how the two models of a pair compare for this program; nothing where they cannot be compared."""
    both = [levels.get((row["program"], name, "")) for name in (row["model"], row["reference"])]
    if None in both:
        return ""
    first, second = both
    asked = {level: (first[level], second[level]) for level in params.levels}
    text = program_sentence(asked, *(the_model(row[key], params.models) for key in ("model", "reference")))
    return sentence(text) if text else ""
