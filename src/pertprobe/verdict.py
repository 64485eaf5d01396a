"""Evidence and thresholds -> verdicts and readings. Knows no probe by name.

Three answers: pass, fail, not evaluable. A verdict comes from the conditions on evidence columns that the config lists
for a probe; a level joins the verdicts of its probes; a reading joins the levels.
"""

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PASS, FAIL, NOT_EVALUABLE, MIXED = "pass", "fail", "not evaluable", "mixed"
VERDICT_COLUMNS = [
    "probe",
    "statistic",
    "model",
    "reference",
    "program",
    "panel",
    "verdict",
    "reason",
    "conditions",
    "planted_control",
    "smallest_effect",
    "planted",
]
READING_COLUMNS = [
    "program",
    "model",
    "reference",
    "comparison",
    "representation",
    "routing",
    "causal",
    "reading",
    "reason",
]
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
SMALLEST_P = {"p": "p_min", "p_stratified": "p_min_stratified"}
"""Column of a p value -> the smallest value it could have taken."""

Condition = Sequence[Any]
"""[column, operator, value], as in the config."""

READINGS = {
    (PASS, PASS): "mechanistic",
    (PASS, FAIL): "representational, not mechanistic",
    (FAIL, PASS): "causal without representation",
    (FAIL, FAIL): "none",
}
"""(representation, causal) -> what the model holds."""
REGIMES = {
    (True, True): "backbone",
    (False, True): "lost in fine-tune",
    (True, False): "fine-tune",
    (False, False): "none",
}
"""(few-shot passes, zero-shot passes) -> where it comes from."""
CONTEXTS = {(True, True): "both_contexts", (True, False): "one", (False, True): "one", (False, False): "none"}


def verdicts(
    evidence: pd.DataFrame,
    thresholds: Mapping[str, Sequence[Condition]],
    primary: Mapping[str, str],
    truth: Mapping[tuple[str, str, str], str] | None = None,
) -> pd.DataFrame:
    """Return one verdict per subject row of each probe's primary statistic.

    `thresholds` holds the conditions per probe, `primary` its primary statistic; `truth` maps (probe, program, context)
    to what was planted in simulated data.
    """
    table = evidence[(evidence.role == "subject") & (evidence.adjustment == "centred") & (evidence.program != "")]
    rows = [
        _verdict(each, thresholds[each["probe"]], truth or {})
        for each in table.to_dict("records")
        if each["probe"] in thresholds and each["statistic"] == primary[each["probe"]]
    ]
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS)


def _verdict(row: Mapping[str, Any], conditions: Sequence[Condition], truth: Mapping[Any, str]) -> dict[str, Any]:
    verdict, reason = judge(row, conditions)
    return {
        **{column: row[column] for column in VERDICT_COLUMNS if column in row},
        "verdict": verdict,
        "reason": reason,
        "conditions": "; ".join(_shown(row, condition) for condition in conditions),
        "planted_control": "absent",
        "smallest_effect": np.nan,
        "planted": truth.get((row["probe"], row["program"], row["context"]), ""),
    }


def judge(row: Mapping[str, Any], conditions: Sequence[Condition]) -> tuple[str, str]:
    """Return (verdict, reason) of one evidence row under its conditions."""
    if not row["evaluable"]:
        return NOT_EVALUABLE, row["reason"]
    empty = [column for column, _, _ in conditions if pd.isna(row[column])]
    if empty:
        return NOT_EVALUABLE, f"{' and '.join(empty)} not measured"
    unreachable = [text for text in (_unreachable(row, condition) for condition in conditions) if text]
    if unreachable:
        return NOT_EVALUABLE, "; ".join(unreachable)
    missed = [condition for condition in conditions if not _holds(row, condition)]
    if missed:
        return FAIL, "; ".join(f"{_shown(row, condition)} does not hold" for condition in missed)
    return PASS, ""


def _holds(row: Mapping[str, Any], condition: Condition) -> bool:
    column, sign, value = condition
    return bool(OPERATORS[sign](row[column], value))


def _unreachable(row: Mapping[str, Any], condition: Condition) -> str:
    """Say so where too few arrangements exist for a p value to fall below its threshold."""
    column, sign, value = condition
    used = row["p_used"] if column == "q" else column
    if used not in SMALLEST_P or sign not in ("<", "<="):
        return ""
    smallest = row[SMALLEST_P[used]]
    reachable = OPERATORS[sign](smallest, value) or pd.isna(smallest)
    return "" if reachable else f"power: the smallest p this size can reach is {smallest:.3g}"


def _shown(row: Mapping[str, Any], condition: Condition) -> str:
    column, sign, value = condition
    found = row[column]
    text = "(not measured)" if pd.isna(found) else f"{found:.3g}" if isinstance(found, float) else str(found)
    return f"{column} {text} {sign} {value}"


def planted_truth(path: str | Path | None, probes: Sequence[str]) -> dict[tuple[str, str, str], str]:
    """Read what a simulation planted, for the probes of the representation: (probe, program, context) -> words.

    Empty for real cells, which have no truth file.
    """
    if not path:
        return {}
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    return {(probe, row.program, row.context): row.planted for probe in probes for row in table.itertuples()}


def readings(
    verdict: pd.DataFrame, levels: Mapping[str, Sequence[str]], pairs: Mapping[str, Sequence[Sequence[str]]]
) -> pd.DataFrame:
    """Return the dual reading per program and model, then one per program and pair.

    A verdict on a pair speaks of both its models. `levels` maps each level to its probes, `pairs` each comparison
    (contexts, regimes) to its [model, reference] pairs; in `regimes` the few-shot model comes first.
    """
    programs = sorted(verdict.program.unique())
    models = sorted(set(verdict.model) | set(verdict.reference) - {""})
    alone = {(program, model): _levels(verdict, program, model, levels) for program in programs for model in models}
    rows = [_reading(program, model, answers) for (program, model), answers in alone.items()]
    for comparison, listed in pairs.items():
        names = REGIMES if comparison == "regimes" else CONTEXTS
        for model, reference in listed:
            for program in programs:
                both = alone.get((program, model)), alone.get((program, reference))
                if None not in both:
                    rows.append(_pair_reading(program, model, reference, comparison, both, names))
    return pd.DataFrame(rows, columns=READING_COLUMNS)


def _levels(
    verdict: pd.DataFrame, program: str, model: str, levels: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, str]]:
    speaks = (verdict.program == program) & ((verdict.model == model) | (verdict.reference == model))
    mine = verdict[speaks]
    return {level: join(mine[mine.probe.isin(probes)]) for level, probes in levels.items()}


def join(verdict: pd.DataFrame) -> tuple[str, str]:
    """Return (answer, reason) of one level: pass or fail where all evaluable probes agree and at least two are."""
    evaluable = verdict[verdict.verdict != NOT_EVALUABLE]
    probes = sorted(evaluable.probe.unique())
    if len(probes) < 2:
        return NOT_EVALUABLE, f"{len(probes)} probe{'s' * (len(probes) != 1)} evaluable, 2 needed"
    answers = set(evaluable.verdict)
    if len(answers) == 1:
        return answers.pop(), ""
    passed = sorted(evaluable[evaluable.verdict == PASS].probe.unique())
    failed = sorted(evaluable[evaluable.verdict == FAIL].probe.unique())
    return MIXED, f"passed: {', '.join(passed)}; failed: {', '.join(failed)}"


def _reading(program: str, model: str, answers: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    of = {level: answer for level, (answer, _) in answers.items()}
    reasons = [f"{level} {answer} ({reason})" for level, (answer, reason) in answers.items() if reason]
    dual = (of.get("representation", NOT_EVALUABLE), of.get("causal", NOT_EVALUABLE))
    first_unclear = next((each for each in (NOT_EVALUABLE, MIXED) if each in dual), "")
    reading = READINGS.get(dual, first_unclear)
    return {
        "program": program,
        "model": model,
        "reference": "",
        "comparison": "",
        **of,
        "reading": reading,
        "reason": "; ".join(reasons),
    }


def _pair_reading(
    program: str,
    model: str,
    reference: str,
    comparison: str,
    both: Sequence[Mapping],
    names: Mapping[tuple[bool, bool], str],
) -> dict[str, str]:
    of = {level: _compared(both[0][level][0], both[1][level][0], names) for level in both[0]}
    return {
        "program": program,
        "model": model,
        "reference": reference,
        "comparison": comparison,
        **of,
        "reading": of.get("representation", NOT_EVALUABLE),
        "reason": "",
    }


def _compared(first: str, second: str, names: Mapping[tuple[bool, bool], str]) -> str:
    unclear = next((each for each in (NOT_EVALUABLE, MIXED) if each in (first, second)), None)
    return unclear or names[first == PASS, second == PASS]
