"""What a run found, in about three sentences, from its tables."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pertprobe.errors import in_a_row

Row = Mapping[str, str]
LEVELS = ("representation", "routing", "causal")
ANSWERED = ("pass", "fail", "mixed")
"""Words of a level that could be asked of a program."""
ANSWERS = {
    "mechanism": "the mechanism",
    "co-variation": "no more than co-variation",
    "lookup": "a lookup by the perturbation's name",
    "not predicted": "no prediction of the responses",
    "unresolved": "unresolved",
}
"""Answer of the table -> what it says a model holds."""
POWER = "an effect of the size of interest is neither found nor excluded"
LONG = 140
"""Characters of a reason that are shown."""


def found(results: Path) -> list[str]:
    """Return the sentences of a finished run; a table that is not there is passed over."""
    answers, verdicts, readings = (rows(results / f"{name}.tsv") for name in ("answers", "verdicts", "readings"))
    return [*answered(answers), *passed(readings), *not_asked(verdicts)]


def rows(path: Path) -> list[Row]:
    """Return the rows of a table, every cell as text; none where there is no table."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def answered(answers: Sequence[Row]) -> Iterator[str]:
    """Yield how each model answers, asked of all genes together."""
    whole = [row for row in answers if row["role"] == "subject" and not row["program"]]
    by_answer: dict[str, list[str]] = {}
    for row in whole:
        by_answer.setdefault(row["answer"], []).append(row["model"])
    said = [f"{in_a_row(models)}: {ANSWERS.get(answer, answer)}" for answer, models in by_answer.items()]
    if said:
        why = {row["reason"].partition(";")[0] for row in whole if row["answer"] == "unresolved"}
        yield f"The answer, over all perturbed genes: {'; '.join(said)}{_because(why)}."
    elif not answers:
        yield "No model has an answer: the config asks no intervention_fidelity, the probe that gives it."


def _because(reasons: set[str]) -> str:
    """Return the one reason of all that is unresolved; numbers of single models say little here."""
    only = next(iter(reasons)) if len(reasons) == 1 else ""
    return f" ({only})" if only and not re.search(r"\d", only) else ""


def passed(readings: Sequence[Row]) -> Iterator[str]:
    """Yield how many programs pass at each level, of those that could be asked."""
    mine = [row for row in readings if row["program"] and not row["reference"] and not row["probe"]]
    models = list(dict.fromkeys(row["model"] for row in mine))
    said = [f"{level} {_by_model([row for row in mine if row[level] in ANSWERED], level, models)}" for level in LEVELS]
    if mine:
        count = len({row["program"] for row in mine})
        yield f"Programs that pass, of those that could be asked ({count} in all): {'; '.join(said)}."


def _by_model(asked: Sequence[Row], level: str, models: Sequence[str]) -> str:
    if not asked:
        return "none could be asked"
    counts = {model: [row[level] for row in asked if row["model"] == model] for model in models}
    return ", ".join(f"{words.count('pass')} of {len(words)} in {model}" for model, words in counts.items())


def not_asked(verdicts: Sequence[Row]) -> Iterator[str]:
    """Yield how many questions have no answer, and the commonest reason."""
    kinds = Counter(kind(row["reason"]) for row in verdicts if row["verdict"] == "not evaluable")
    if not verdicts:
        return
    if not kinds:
        yield f"All {len(verdicts)} questions about programs could be answered."
        return
    reason, count = kinds.most_common(1)[0]
    share = f"{sum(kinds.values())} of {len(verdicts)} questions about programs could not be answered"
    yield f"{share}; the commonest reason ({count} times): {reason}."


def kind(reason: str) -> str:
    """Return a reason without what differs from program to program: those of one kind are counted together."""
    if reason.startswith("power:"):
        return POWER
    first = re.sub(r"^\d+ ", "too few ", reason.partition(";")[0].removeprefix("not evaluable: "))
    return first if len(first) <= LONG else first[:LONG].rsplit(" ", 1)[0] + " ..."
