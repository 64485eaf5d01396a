"""One verdict in words: what was found, by which numbers, or why the question has no answer."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any

import yaml

from pertprobe.report.words.names import counted, interval, p_value, sentence, short, the_kind, the_model
from pertprobe.report.words.remedies import remedy, why
from pertprobe.stages.verdict import ABSENT, NOT_EVALUABLE, PASS, TESTED

MISSED = re.compile(r"(\w+) (\S+) (<=|>=|==|<|>) (\S+) does not hold")
"""A condition that the reason of a fail says is missed."""
LESS = {
    "excess_redrawn": "it is no more than untrained copies of the model show",
    "excess_rivals": "it is no more than co-variation alone shows",
}
"""Beginning of a column -> what it says where its condition is missed."""
Models = Mapping[str, Mapping[str, str]]
"""Model -> its context and regime."""


@cache
def phrases() -> dict[str, dict[str, str]]:
    """Return probe -> its words for a pass and a fail."""
    return yaml.safe_load((Path(__file__).parent / "found.yaml").read_text(encoding="utf-8"))


def verdict_sentence(
    row: Mapping[str, Any], models: Models, questions: Mapping[str, str], interest: float, *, named: bool = True
) -> str:
    """Return a verdict as a sentence.

    Args:
        row: of the verdicts, beside n, unit, estimate, null_mean, q, disattenuated, share_low, share_high of its
            evidence row.
        models: model -> context and regime.
        questions: probe -> its question.
        interest: the smallest effect of interest, `power.d`.
        named: whether the model is named; otherwise it is "the few-shot model".
    """
    if row["verdict"] == NOT_EVALUABLE:
        needed = remedy(row["reason"], row["smallest_effect"])
        return f"Not evaluable: {why(row, interest)}. It takes {needed}."
    who = (the_model if named else the_kind)(row["model"], models)
    said = _phrase(row, who, the_model(row["reference"], models), questions)
    numbers = "; ".join(_numbers(row) if row["verdict"] == PASS else (*_numbers(row), *_missed(row, interest)))
    return sentence(f"{said} ({numbers})" if numbers else said)


def _phrase(row: Mapping[str, Any], model: str, reference: str, questions: Mapping[str, str]) -> str:
    known = phrases().get(row["probe"])
    if known is None:
        return (
            f"{'yes' if row['verdict'] == PASS else 'no'}, to the question of {row['probe']}: {questions[row['probe']]}"
        )
    n = counted(int(row["n"]), row["unit"] or "perturbation")
    return known[row["verdict"]].format(model=model, reference=reference, n=n)


def _numbers(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the estimate beside what chance makes, or as a share of what the data allow, and q."""
    if "share_low" in row["conditions"]:
        yield interval(row["disattenuated"], row["share_low"], row["share_high"])
    elif not isnan(row["estimate"]):
        chance = "" if isnan(row["null_mean"]) else f", by chance {short(row['null_mean'])}"
        yield f"{row['statistic'].replace('_', ' ')} {short(row['estimate'])}{chance}"
    if q := p_value("q", row["q"]):
        yield q


def _missed(row: Mapping[str, Any], interest: float) -> Iterator[str]:
    """Yield why a fail is one: each condition that does not hold, in words."""
    for column, value, sign, bound in MISSED.findall(row["reason"]):
        start = next((words for name, words in LESS.items() if column.startswith(name)), "")
        if column in TESTED:
            yield _absent(row, interest)
        elif column == "share_low":
            yield f"a share above {bound} is excluded"
        else:
            yield start or f"{column.replace('_', ' ')} {value}, asked for {sign} {bound}"


def _absent(row: Mapping[str, Any], interest: float) -> str:
    """Return by what an effect of interest is excluded: its interval, or the Bayes factor."""
    if row["d_high"] < interest:
        between = f"{short(row['d_low'])} and {short(row['d_high'])}"
        return f"an effect of {interest:g} sd is excluded: it lies between {between} sd"
    if row["bayes_absence"] > ABSENT:
        return f"no effect is {short(row['bayes_absence'])} times as likely as one of about {interest:g} sd"
    return "it is no more than chance makes"
