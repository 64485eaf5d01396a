"""What was found and what was not evaluable, in words."""

from collections.abc import Iterator, Sequence

import pandas as pd

from pertprobe.roles import AUTOENCODER, COMPONENTS, KNOWN, LOOKUP, NETWORK
from pertprobe.stages.verdict import CONTROL_WORDS, FAIL, NOT_EVALUABLE, PASS

TOO_FEW = r"^(\d+) (.*)$"
"""Reasons that begin with a count."""
KINDS = {
    LOOKUP: "a lookup",
    COMPONENTS: "co-variation (components)",
    AUTOENCODER: "co-variation (autoencoder)",
    NETWORK: "a mechanism (network)",
}
"""Role of a model of known kind -> what pages and figures call it."""
MANY = 8
"""Longer lists of names are cut, and the rest counted."""


def listed(names: list[str]) -> str:
    """Return names joined by commas, at most `MANY`, with a count of the rest."""
    names = list(dict.fromkeys(names))
    rest = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(names[:MANY]) + rest


def found(verdicts: pd.DataFrame, readings: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per probe and model: which programs passed, how many failed; then the clear readings."""
    for (probe, model, reference), rows in verdicts.groupby(["probe", "model", "reference"], sort=False):
        passed, failed = (list(rows[rows.verdict == answer].program) for answer in (PASS, FAIL))
        who = f"{model} against {reference}" if reference else model
        if passed or failed:
            what = f"found {listed(passed)}" if passed else "found none"
            yield f"{probe} on {who} {what}, of {len(passed) + len(failed)} programs that could be tested."
    clear = readings[~readings.dual_reading.isin([NOT_EVALUABLE, "none", ""])]
    keys = ["dual_reading", "model", "reference", "probe"]
    for (reading, model, reference, probe), rows in clear.groupby(keys, sort=False):
        who = (f"{model} against {reference}" if reference else model) + (f" by {probe} alone" if probe else "")
        yield f"Reading of {who}: {listed(list(rows.program))} {'is' if len(rows) == 1 else 'are'} {reading}."


def answers(readings: pd.DataFrame, scorecard: pd.DataFrame) -> Iterator[str]:
    """Yield the answer of each model, and of which programs it is another; then those of models of known kind."""
    whole = readings[(readings.program == "") & (readings.answer != "")].set_index("model").answer
    for model, answer in whole.items():
        rows = readings[(readings.model == model) & (readings.program != "") & ~readings.answer.isin(["", answer])]
        others = [f"{listed(list(of.program))}: {word}" for word, of in rows.groupby("answer", sort=True)]
        alone = f" Programs by themselves: {'; '.join(others)}." if others else ""
        yield f"{model}, all perturbed genes together: {answer}.{alone}"
    known = scorecard[scorecard.role.isin(KNOWN) & (scorecard.answer != "")]
    said = [
        f"{KINDS[role]} is called {' and '.join(dict.fromkeys(rows.answer))}"
        for role, rows in known.groupby("role", sort=False)
    ]
    if said:
        yield f"Beside them, on the same cells and genes, stand models whose kind is known: {'; '.join(said)}."


def not_evaluable(verdicts: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per probe and reason: which questions could not be put, and how many units they had."""
    rows = verdicts[verdicts.verdict == NOT_EVALUABLE]
    # Numbers inside a reason differ from row to row: reasons of one kind are told together, in short.
    reasons = rows.reason.where(
        ~rows.reason.str.startswith("power:"), "an effect of interest is neither found nor excluded"
    )
    counted = reasons.str.extract(TOO_FEW)
    rows = rows.assign(kind=counted[1].fillna(reasons), count=pd.to_numeric(counted[0]))
    for (probe, kind), group in rows.groupby(["probe", "kind"], sort=False):
        programs = group.program.nunique()
        names = f" ({listed(list(group.program))})" if programs <= MANY else ""
        yield f"{probe}: {programs} program{'s' * (programs != 1)}{names} - {_range(group['count'])}{kind}."


def _range(counts: pd.Series) -> str:
    """Return "2 " or "0 to 2 ", empty where the reason holds no count."""
    if counts.isna().any():
        return ""
    low, high = int(counts.min()), int(counts.max())
    return f"{low} " if low == high else f"{low} to {high} "


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
    counts = [f"{(each.verdict == PASS).sum()} of {len(each)} rows {words}" for words, each in rows.items()]
    return f"Truth is known here: at the representation level {', '.join(counts)} passed."
