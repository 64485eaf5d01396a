"""What the run found, in few sentences, and how its controls and its truth answer."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from pertprobe.report.words.answers import answers, known_kinds, single_programs
from pertprobe.report.words.names import counted, sentence, times
from pertprobe.report.words.remedies import kind
from pertprobe.stages.verdict import CONTROL_WORDS, FAIL, MIXED, NOT_EVALUABLE, PASS


def headline(readings: pd.DataFrame) -> str:
    """Return the answer of the run, in a sentence for each answer that models have."""
    none = "No model has an answer: the config asks no intervention_fidelity, the probe that gives it."
    return " ".join(answers(readings)) or none


def summary(
    verdicts: pd.DataFrame, readings: pd.DataFrame, scorecard: pd.DataFrame, levels: Sequence[str]
) -> Iterator[str]:
    """Yield what stands below the answers: single programs, models of known kind, levels, what could not be asked."""
    mine = readings[(readings.program != "") & (readings.reference == "") & (readings.probe == "")]
    parts = [single_programs(readings), known_kinds(scorecard), *(passed(mine, level) for level in levels)]
    yield from filter(None, [*parts, not_asked(verdicts)])


def passed(readings: pd.DataFrame, level: str) -> str:
    """Return how many programs pass at a level in each model; nothing where none could be asked."""
    clear = readings[readings[level].isin([PASS, FAIL, MIXED])]
    counts = [
        f"{(rows[level] == PASS).sum()} of {len(rows)} in {model}" for model, rows in clear.groupby("model", sort=False)
    ]
    if not counts:
        return ""
    return f"At the {level} level, of the programs that could be asked, these pass: {', '.join(counts)}."


def not_asked(verdicts: pd.DataFrame) -> str:
    """Return how many questions have no answer, and the commonest reason."""
    open_ = verdicts[verdicts.verdict == NOT_EVALUABLE]
    if verdicts.empty:
        return "No question about a program was put."
    if open_.empty:
        return f"All {len(verdicts):,} questions about programs could be answered."
    reason, count = Counter(kind(each) for each in open_.reason).most_common(1)[0]
    return (
        f"{len(open_):,} of {len(verdicts):,} questions about programs could not be answered; the commonest reason "
        f"({times(count)}): {reason}."
    )


def sizes(programs: int, models: int, probes: int) -> str:
    """Return what the run asked: how many models, programs, probes."""
    return sentence(f"{counted(models, 'model')}, {counted(programs, 'program')}, {counted(probes, 'probe')}")


def control_answers(verdicts: pd.DataFrame) -> list[dict[str, object]]:
    """Return, per probe, of how many questions the planted mechanism was found, and how often the others pass."""
    return [{"probe": probe, **_shares(group)} for probe, group in verdicts.groupby("probe", sort=False)]


def _shares(verdicts: pd.DataFrame) -> dict[str, str]:
    answers = {role: verdicts[f"{role}_control"] for role in CONTROL_WORDS}
    passed = {role: (answers[role] == words[PASS]).sum() for role, words in CONTROL_WORDS.items()}
    return {role: f"{passed[role]} of {(answers[role] != 'absent').sum()}" for role in CONTROL_WORDS}


def agreement_with_truth(verdicts: pd.DataFrame, representation: Sequence[str]) -> str:
    """Say how verdicts compare with what was planted; empty for real cells.

    Of the probes of the representation: what is in the cells a trained model holds, but need not route as the cells do.
    """
    known = verdicts[(verdicts.planted != "") & verdicts.probe.isin(representation)]
    answered = known[known.verdict.isin([PASS, FAIL])]
    if answered.empty:
        return ""
    kinds = {"with a planted effect here": ["shared", "context_specific"], "of decoys": ["decoy"],
             "planted in another context only": ["absent"]}  # fmt: skip
    rows = {words: answered[answered.planted.isin(planted)] for words, planted in kinds.items()}
    counts = [
        f"{(each.verdict == PASS).sum()} of {len(each)} rows {words}" for words, each in rows.items() if len(each)
    ]
    return f"Truth is known here: at the representation level {', '.join(counts)} passed."
