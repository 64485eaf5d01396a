"""Evidence and thresholds -> verdicts and readings. Knows no probe by name.

Three answers: pass, fail, not evaluable. A verdict comes from the conditions on evidence columns that the config lists
for a probe; a level joins the verdicts of its probes; a reading joins the levels.
"""

import operator
from collections.abc import Collection, Mapping, Sequence
from math import ceil, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pertprobe.evidence import joined
from pertprobe.files import AS_TEXT, read_table
from pertprobe.roles import REDRAWN, SUBJECT
from pertprobe.statistics.power import Null, bayes_absence, interval, power, smallest_effect

PASS, FAIL, NOT_EVALUABLE, MIXED = "pass", "fail", "not evaluable", "mixed"
VERDICT_COLUMNS = [
    *("probe", "statistic", "model", "reference", "program", "panel", "verdict", "reason", "conditions"),
    *("d", "d_low", "d_high", "bayes_absence", "power", "smallest_effect"),
    *("planted_control", "planted_found", "lookup_control", "covariation_control", "planted"),
]
NUMBERS = {"d", "d_low", "d_high", "bayes_absence", "power", "smallest_effect", "planted_found"}
"""Columns of verdicts that hold numbers."""
READING_COLUMNS = [
    *("program", "model", "reference", "comparison", "probe"),
    *("answer", "representation", "routing", "causal", "dual_reading", "reason"),
]
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
TESTED = ("p", "p_stratified", "q")
"""Columns whose conditions are tests: missing one says nothing without power."""
OWN = (
    *("excess_redrawn", "excess_redrawn_low", "excess_redrawn_high"),
    *("excess_rivals", "excess_rivals_low", "excess_rivals_high"),
    *("ceiling", "disattenuated", "share_low", "share_high"),
)
"""Columns that planted models do not have."""
CONTROL_WORDS = {
    "planted": {PASS: "found", FAIL: "missed"},
    "lookup": {PASS: "passes", FAIL: "fails"},
    "covariation": {PASS: "passes", FAIL: "fails"},
}
"""Role of a planted model -> words for what it should (planted) or should not (the others, at the causal level) do."""
SHARE = "share"
"""What has an interval on the scale of the ceiling: the condition itself says how much of it counts."""
INTEREST = {"d": 1.0, "power": 0.8}
"""Smallest effect of interest in sd of the per-unit score, and the power that `smallest_effect` is said for."""
NOT_COMPARED = "not compared with untrained copies, of which there is none"
"""What is said of a pass that an untrained copy may have too."""
ABSENT = 3.0
"""Bayes factor for absence above which an effect counts as absent (Jeffreys 1961: substantial)."""
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
COMPARISONS = {"regimes": REGIMES, "contexts": CONTEXTS}


class Judged(NamedTuple):
    """One answer."""

    verdict: str
    reason: str
    d: float = nan
    """The effect, in sd of all other units' scores."""
    d_low: float = nan
    """Lower end of its interval (`power.LEVEL`)."""
    d_high: float = nan
    """Upper end."""
    bayes_absence: float = nan
    """Bayes factor of no effect against one of about the size of interest."""
    power: float = nan
    """Chance to pass the conditions on p or q with an effect of the size of interest."""
    smallest_effect: float = nan
    """Shift of the members, in sd of all other units' scores, that would have been found with the wanted power."""


def verdicts(
    evidence: pd.DataFrame,
    thresholds: Mapping[str, Sequence[Condition]],
    primary: Mapping[str, str],
    truth: Mapping[tuple[str, str], str] | None = None,
    *,
    controlled: Mapping[str, str] | None = None,
    interest: Mapping[str, float] = INTEREST,
    common: Collection[str] = (),
    with_copies: Collection[str] = (),
) -> pd.DataFrame:
    """Return one verdict per subject row of each probe's primary statistic, with its controls.

    `thresholds` holds the conditions per probe, `primary` its primary statistic, `controlled` the one that its planted
    models have; `truth` maps (program, context) to what was planted in simulated data. `interest` holds `d`, the
    smallest effect of interest in sd of the per-unit score, below which an effect counts as absent, and `power`, the
    chance for which the smallest effect that would be found is said. `common` are probes whose primary statistic is
    compared with controls as it is, not in sd of its null; `with_copies` those that are compared with untrained copies
    by default: a pass of a model that has none says so.
    """
    controlled = controlled or primary
    table = evidence[(evidence.adjustment == "centred") & (evidence.program != "")]
    rows = []
    for probe, conditions in thresholds.items():
        mine = table[table.probe == probe]
        asked = mine[(mine.role == SUBJECT) & (mine.statistic == primary.get(probe))]
        alpha = _reachable(asked, conditions)
        alone = set(asked.model) - set(mine[mine.role.isin(REDRAWN)].model) if probe in with_copies else set()
        for row in asked.to_dict("records"):
            judged = judge(row, conditions, alpha, interest, common=probe in common)
            planted = _planted(row, mine[mine.statistic == controlled[probe]])
            controls = {f"{role}_control": _answer(role, planted.get(role), conditions) for role in CONTROL_WORDS}
            share = _found(planted.get("planted"), strictest(conditions, alpha), interest)
            judged = _beside_control(judged, controls["planted_control"], share)
            if judged.verdict == PASS and row["model"] in alone:
                judged = judged._replace(reason=joined(NOT_COMPARED, judged.reason))
            controls["planted_found"] = share
            rows.append(_verdict(row, judged, conditions, controls, truth or {}))
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS)


def _verdict(
    row: Mapping[str, Any],
    judged: Judged,
    conditions: Sequence[Condition],
    controls: Mapping[str, Any],
    truth: Mapping[Any, str],
) -> dict[str, Any]:
    return {
        **{column: row[column] for column in VERDICT_COLUMNS if column in row},
        **judged._asdict(),
        **controls,
        "conditions": "; ".join(_shown(row, condition) for condition in conditions),
        "planted": truth.get((row["program"], row["context"]), ""),
    }


def _planted(row: Mapping[str, Any], table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return role -> the row of the planted model that was asked the same question."""
    same = np.logical_and.reduce([table[key] == row[key] for key in ("model", "reference", "program", "panel")])
    return {found["role"]: found for found in table[same & table.role.isin(CONTROL_WORDS)].to_dict("records")}


def _answer(role: str, row: Mapping[str, Any] | None, conditions: Sequence[Condition]) -> str:
    """Return how a planted model fares under the same conditions: found or missed, passes or fails, or absent.

    The conditions on the architecture null and on rivals are the model's own: planted models have neither.
    """
    return "absent" if row is None else CONTROL_WORDS[role].get(_plainly(row, of_planted(conditions)), "absent")


def of_planted(conditions: Sequence[Condition]) -> list[Condition]:
    """Return the conditions that planted models can be asked: those on columns that they have."""
    return [condition for condition in conditions if condition[0] not in OWN]


def _plainly(row: Mapping[str, Any], conditions: Sequence[Condition]) -> str:
    """Return pass or fail by the conditions alone, empty where the question could not be put to a control."""
    if not row["evaluable"] or any(pd.isna(row[column]) for column, _, _ in conditions):
        return ""
    return PASS if all(_holds(row, condition) for condition in conditions) else FAIL


def _found(row: Mapping[str, Any] | None, alpha: float, interest: Mapping[str, float]) -> float:
    """Return the share of programs of this size, planted at the size of interest, that would be found; nan without."""
    return nan if row is None else power(Null.of(row), alpha, interest["d"])


def _beside_control(judged: Judged, control: str, share: float) -> Judged:
    """Return the answer with a note where the planted effect is missed, which is one draw and decides nothing."""
    if control != "missed" or judged.verdict == NOT_EVALUABLE:
        return judged
    among = f"; {share:.0%} of such programs would be found" if share == share else ""
    return judged._replace(reason=joined(judged.reason, f"the planted control, one draw, is missed{among}"))


def judge(
    row: Mapping[str, Any],
    conditions: Sequence[Condition],
    alpha: Mapping[str, float] | None = None,
    interest: Mapping[str, float] = INTEREST,
    *,
    common: bool = False,
) -> Judged:
    """Return the answer of one evidence row under its conditions, before its controls are asked.

    Missing a condition on p or q is a fail only where the effect is shown to be smaller than that of interest, and one
    on the lower end of an interval only where its upper end is too (methods.md, What a pass and a fail mean). `alpha`
    maps columns of p or q to the p they ask of this row; `common`: excesses are on the scale of the effect.
    """
    if not row["evaluable"]:
        return Judged(NOT_EVALUABLE, row["reason"])
    if empty := [column for column, _, _ in conditions if pd.isna(row[column])]:
        return Judged(NOT_EVALUABLE, joined(f"{' and '.join(empty)} not measured", row["reason"]))
    if unreachable := [text for text in (_unreachable(row, condition) for condition in conditions) if text]:
        return Judged(NOT_EVALUABLE, "; ".join(unreachable))
    missed = [condition for condition in conditions if not _holds(row, condition)]
    strict = strictest(conditions, alpha)
    measured = Judged(PASS, "", **_sized(row, strict, interest))
    if not missed:
        return measured
    reason = "; ".join(f"{_shown(row, condition)} does not hold" for condition in missed)
    if any(column in TESTED for column, _, _ in missed) and (open_ := _open(row, strict, measured, interest)):
        return measured._replace(verdict=NOT_EVALUABLE, reason=joined(f"power: {open_}", reason))
    unit = row["unit_sd"] / (1.0 if common else row["null_sd"] or nan)
    wide = [_wide(row, condition, interest["d"] * unit) for condition in missed]
    if all(wide):
        return measured._replace(verdict=NOT_EVALUABLE, reason=joined(f"power: {', '.join(wide)}", reason))
    return measured._replace(verdict=FAIL, reason=reason)


def _wide(row: Mapping[str, Any], condition: Condition, size: float) -> str:
    """Return the interval whose lower end misses a condition where its upper end lies above what counts as absent.

    `size` is the smallest excess of interest. Empty for any other condition, and without an upper end.
    """
    column, sign, value = condition
    name, low, end = column.rpartition("_low")
    high = row.get(f"{name}_high", nan)
    least = value + (0.0 if name == SHARE else size)
    return f"{name} {row[column]:.2g} to {high:.2g}" if low and not end and sign in (">", ">=") and high > least else ""


def _sized(row: Mapping[str, Any], alpha: float, interest: Mapping[str, float]) -> dict[str, float]:
    """Return the effect of a row in sd of the per-unit score, and what could have been found."""
    unit, sd = row["unit_sd"], row["null_sd"]
    ends = interval(row["effect"], sd, row["null_skewness"])
    d, low, high = ((each / unit if unit > 0 else nan) for each in (row["effect"], *ends))
    return {
        **{"d": d, "d_low": low, "d_high": high},
        "bayes_absence": bayes_absence(row["effect"], sd, interest["d"] * unit),
        "power": power(Null.of(row), alpha, interest["d"]),
        "smallest_effect": smallest_effect(Null.of(row), alpha, interest["power"]),
    }


def _open(row: Mapping[str, Any], alpha: float, found: Judged, interest: Mapping[str, float]) -> str:
    """Return why a missed p or q is no answer; empty where the effect is shown to be smaller than that of interest."""
    if floored := _at_floor(row, alpha):
        return floored
    if found.d_high < interest["d"] or found.bayes_absence > ABSENT:
        return ""
    if np.isnan(found.d_high):
        return "not known"
    return f"effect {found.d_low:.2g} to {found.d_high:.2g} sd, {interest['d']:g} sd found in {found.power:.0%}"


def _at_floor(row: Mapping[str, Any], alpha: float) -> str:
    """Say so where no draw of the null reached the estimate, and p is still too large for its family."""
    p, smallest = row.get(row["p_used"]), row.get(SMALLEST_P.get(row["p_used"], ""))
    if p is None or smallest is None or np.isnan(alpha) or not (p <= smallest and smallest >= alpha):
        return ""
    if row["n_permutations"] and smallest <= 1 / (row["n_permutations"] + 1):
        return f"no one of {row['n_permutations']} draws reached it, {ceil(1 / alpha)} draws would do"
    return f"the smallest p this size can reach is {smallest:.3g}, {alpha:.3g} is needed"


def strictest(conditions: Sequence[Condition], alpha: Mapping[str, float] | None = None) -> float:
    """Return the smallest p that the conditions on p or q ask for; nan without such a condition."""
    alpha = alpha or {}
    bounds = (each for each in conditions if each[0] in TESTED and each[1] in ("<", "<="))
    return min((alpha.get(column, value) for column, _, value in bounds), default=nan)


def _reachable(family: pd.DataFrame, conditions: Sequence[Condition]) -> dict[str, float]:
    """Return, for a condition on q, the p that a row would have needed: the next step of Benjamini-Hochberg."""
    n, found = int(family.q.notna().sum()), {}
    for column, sign, value in conditions:
        if column == "q" and sign in ("<", "<=") and n:
            passed = int(OPERATORS[sign](family.q, value).sum())
            found[column] = value * min(passed + 1, n) / n
    return found


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


def read_verdicts(path: str | Path) -> pd.DataFrame:
    """Read the verdicts of a run."""
    return read_table(path, [name for name in VERDICT_COLUMNS if name not in NUMBERS])


def planted_truth(path: str | Path | None) -> dict[tuple[str, str], str]:
    """Read what a simulation planted in the cells: (program, context) -> words.

    Empty for real cells, which have no truth file.
    """
    if not path:
        return {}
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=AS_TEXT)
    return {(row.program, row.context): row.planted for row in table.itertuples()}


def readings(
    verdict: pd.DataFrame,
    levels: Mapping[str, Sequence[str]],
    pairs: Mapping[str, Sequence[Sequence[str]]],
    words: Mapping[str, str] | None = None,
    answers: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the answer of each model, answer and dual reading per program and model, then one per program and pair.

    A verdict on a pair speaks of both its models. `levels` maps each level to its probes, `pairs` each comparison
    (contexts, regimes) to its [model, reference] pairs; in `regimes` the few-shot model comes first. `words` replaces
    words of the pair readings: the preset `published` says marginal for one and null for none. `answers` are those of
    `stages.answer`, of which one without a program is the model's.
    """
    programs = sorted(verdict.program.unique())
    models = sorted(set(verdict.model) | set(verdict.reference) - {""})
    alone = {(program, model): _levels(verdict, program, model, levels) for program in programs for model in models}
    said = {}
    if answers is not None:
        own = answers[answers.role == SUBJECT].set_index(["program", "model"])
        said = own[["answer", "reason"]].T.to_dict()
    rows = [{"model": each[1], **_said(found, {})} for each, found in said.items() if not each[0]]
    rows += [
        {"program": each[0], "model": each[1], **_said(said.get(each), _reading(found))}
        for each, found in alone.items()
    ]
    for comparison, listed in pairs.items():
        names = {key: (words or {}).get(name, name) for key, name in COMPARISONS[comparison].items()}
        for model, reference in listed:
            found = [
                {"program": program, **_pair_reading(alone[program, model], alone[program, reference], names)}
                for program in programs
                if model in models and reference in models
            ]
            found += _probe_readings(verdict, model, reference, names)
            pair = {"model": model, "reference": reference, "comparison": comparison}
            rows += [pair | each for each in found]
    return pd.DataFrame([dict.fromkeys(READING_COLUMNS, "") | row for row in rows], columns=READING_COLUMNS)


def _said(found: Mapping[str, str] | None, reading: Mapping[str, str]) -> dict[str, str]:
    """Return the answer beside the reading, with the reasons of both."""
    if found is None:
        return dict(reading)
    reason = joined(f"answer: {found['reason']}" if found["reason"] else "", reading.get("reason", ""))
    return {**reading, "answer": found["answer"], "reason": reason}


def _probe_readings(
    verdict: pd.DataFrame, model: str, reference: str, names: Mapping[tuple[bool, bool], str]
) -> list[dict[str, str]]:
    """Compare the verdicts of each probe by itself on the two models of a pair."""
    alone = verdict[verdict.reference == ""].groupby(["probe", "program", "model"]).verdict.agg(_agreed)
    both = alone.unstack("model").reindex(columns=[model, reference]).dropna()
    return [
        {"probe": probe, "program": program, "dual_reading": _compared(first, second, names)}
        for (probe, program), first, second in both.itertuples(name=None)
    ]


def _agreed(answers: pd.Series) -> str:
    """Return the one answer of several panels, mixed where they differ."""
    return answers.iloc[0] if answers.nunique() == 1 else MIXED


def _levels(
    verdict: pd.DataFrame, program: str, model: str, levels: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, str]]:
    speaks = (verdict.program == program) & ((verdict.model == model) | (verdict.reference == model))
    mine = verdict[speaks]
    return {level: join(mine[mine.probe.isin(probes)]) for level, probes in levels.items()}


def join(verdict: pd.DataFrame) -> tuple[str, str]:
    """Return (answer, reason) of one level: pass or fail where all evaluable probes agree.

    One is enough; the reason then says that it spoke alone, and how wide its intervals are.
    """
    evaluable = verdict[verdict.verdict != NOT_EVALUABLE]
    probes = sorted(evaluable.probe.unique())
    if not probes:
        return NOT_EVALUABLE, "no probe evaluable"
    answers = set(evaluable.verdict)
    if len(answers) == 1:
        return answers.pop(), "" if len(probes) > 1 else joined(f"one probe spoke: {probes[0]}", *_widths(evaluable))
    passed = sorted(evaluable[evaluable.verdict == PASS].probe.unique())
    failed = sorted(evaluable[evaluable.verdict == FAIL].probe.unique())
    return MIXED, f"passed: {', '.join(passed)}; failed: {', '.join(failed)}"


def _widths(verdict: pd.DataFrame) -> list[str]:
    """Return the interval of each row's effect in words; of none where there is no per-unit score."""
    known = verdict.dropna(subset=["d_low", "d_high"])
    return [f"effect {low:.2g} to {high:.2g} sd" for low, high in zip(known.d_low, known.d_high, strict=True)]


def _reading(answers: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    of = {level: answer for level, (answer, _) in answers.items()}
    reasons = [f"{level} {answer} ({reason})" for level, (answer, reason) in answers.items() if reason]
    dual = (of.get("representation", NOT_EVALUABLE), of.get("causal", NOT_EVALUABLE))
    return {**of, "dual_reading": READINGS.get(dual) or _unclear(*dual), "reason": "; ".join(reasons)}


def _pair_reading(
    first: Mapping[str, tuple[str, str]],
    second: Mapping[str, tuple[str, str]],
    names: Mapping[tuple[bool, bool], str],
) -> dict[str, str]:
    of = {level: _compared(answer, second[level][0], names) for level, (answer, _) in first.items()}
    return {**of, "dual_reading": of.get("representation", NOT_EVALUABLE)}


def _compared(first: str, second: str, names: Mapping[tuple[bool, bool], str]) -> str:
    return _unclear(first, second) or names[first == PASS, second == PASS]


def _unclear(*answers: str) -> str:
    """Return what keeps two answers from being compared; empty where both are clear."""
    return next((each for each in (NOT_EVALUABLE, MIXED) if each in answers), "")
