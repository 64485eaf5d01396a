"""A card for each program: its answer in each model and why, in sentences."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pertprobe.report.words.answers import answer_sentence, unresolved
from pertprobe.report.words.comparisons import program_sentence
from pertprobe.report.words.names import in_a_row, sentence, the_kind, the_model
from pertprobe.report.words.remedies import kind, remedy
from pertprobe.report.words.verdicts import verdict_sentence
from pertprobe.stages.verdict import FAIL, NOT_EVALUABLE, PASS


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
    mine = answered[answered.role == "subject"]
    said = {(row["program"], row["model"]): row for row in mine.to_dict("records")}
    rows = {program: table for program, table in verdicts.groupby("program", sort=False)}
    pairs = {program: table for program, table in readings[readings.probe == ""].groupby("program", sort=False)}
    alone = [row for row in readings.to_dict("records") if not row["probe"]]
    levels = {(row["program"], row["model"], row["reference"]): row for row in alone}
    return [
        {"place": place, **_card(program, rows[program], said, pairs.get(program, readings.iloc[:0]), levels, params)}
        for place, program in enumerate(order)
    ]


def _card(
    program: str,
    verdicts: pd.DataFrame,
    said: Mapping[tuple[str, str], Mapping[str, Any]],
    readings: pd.DataFrame,
    levels: Mapping[tuple[str, str, str], Mapping[str, Any]],
    params: Any,
) -> dict[str, Any]:
    records = verdicts.to_dict("records")
    models = []
    for model in params.models:
        mine = [row for row in records if row["model"] == model]
        answer = said.get((program, model))
        if mine or answer:
            told = list(_sentences(mine, answer, model, params))
            models.append({"name": model, "answer": answer["answer"] if answer else "", "sentences": told})
    open_ = list(not_evaluable(records, params.models))
    compared = [
        text for row in readings[readings.reference != ""].to_dict("records") if (text := _pair(row, levels, params))
    ]
    clear = bool((verdicts.verdict != NOT_EVALUABLE).any()) or any(
        (program, model) in said and not unresolved(said[program, model]) for model in params.models
    )
    return {"program": program, "models": models, "compared": compared, "open": open_, "clear": clear}


def _sentences(
    rows: Sequence[Mapping[str, Any]], answer: Mapping[str, Any] | None, model: str, params: Any
) -> Iterator[str]:
    """Yield the answer, what passes and what fails."""
    interest = params.interest["d"]
    if answer:
        said = answer_sentence(answer)
        yield sentence(said.replace("its prediction", f"the prediction of {the_kind(model, params.models)}", 1))
    for verdict in (PASS, FAIL):
        for row in rows:
            if row["verdict"] == verdict:
                yield verdict_sentence(row, params.models, params.questions, interest, named=False)


def not_evaluable(rows: Sequence[Mapping[str, Any]], models: Collection[str]) -> Iterator[str]:
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


def _pair(row: Mapping[str, Any], levels: Mapping[tuple[str, str, str], Mapping[str, Any]], params: Any) -> str:
    """Return how the two models of a pair compare for this program; nothing where they cannot be compared."""
    both = [levels.get((row["program"], name, "")) for name in (row["model"], row["reference"])]
    if None in both:
        return ""
    first, second = both
    asked = {level: (first[level], second[level]) for level in params.levels}
    text = program_sentence(asked, *(the_model(row[key], params.models) for key in ("model", "reference")))
    return sentence(text) if text else ""
