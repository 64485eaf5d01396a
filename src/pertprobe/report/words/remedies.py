"""Why a question has no answer, in plain words, and what would make it askable."""

import re
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from pertprobe.report.words.names import short
from pertprobe.stages.reasons import in_short

REMEDIES: Sequence[tuple[str, str]] = (
    (r"^power: no one of \d+ draws reached it, (?P<n>\d+) draws", "statistics.permutations of {n} or more"),
    (r"^power: the smallest p", "larger programs, or models with more perturbations; more draws would not do"),
    (r"^power: \S.* sd found in", "larger programs or more perturbations, so that the interval is narrower{found}"),
    (r"^power:", "larger programs or more perturbations, so that the interval is narrower"),
    (r"model has no", "a model that offers this (docs/custom_model.md says how), or leave the probe out"),
    (r"never trained", "a model that was trained with more of the program's perturbations"),
    (r"no panel for this", "a panel of regulators and targets for it, under panels; pertprobe init proposes them"),
    (r"no pair of regulator", "a panel whose regulators are inputs and whose targets are outputs of the model"),
    (r"quality gate", "a model that predicts these responses better than the mean shift (quality.html)"),
    (r"halves of the", "more cells for each knock-down, or genes whose knock-downs differ more from each other"),
    (
        r"inputs|knocked-out genes?|measured (gene|regulator)|no gene of the program",
        "a model that has more of the program's genes among its inputs, or a program of genes that it has",
    ),
    (r"perturbations?\b.* needed", "a screen with more perturbations of the program, or a larger program"),
    (r"^all but |no background|nearly all units", "smaller programs, or models with more perturbations"),
    (r"excess_redrawn\S* not measured", "untrained copies to compare with: controls.redrawn of 2 or more"),
    (r"excess_rivals\S* not measured", "rivals to compare with: controls.known, or a larger program"),
    (r"compares two models|no pair", "a pair of models, under pairs"),
    (r"by the sparse autoencoder", "an autoencoder that is trained on both models (sae.<name>.models)"),
)
"""Pattern of a reason -> what would make the question askable; the first that is found counts."""
OTHERWISE = "the row of the evidence table says what is missing"
POWER = "an effect of the size of interest is neither found nor excluded"


def remedy(reason: str, smallest_effect: float = float("nan")) -> str:
    """Return what would make a question askable that has this reason; `smallest_effect` of its verdict, in sd."""
    for pattern, text in REMEDIES:
        if found := re.search(pattern, reason):
            size = f"; as it is, effects from {short(smallest_effect)} sd would be found"
            large = "" if isnan(smallest_effect) else size
            return text.format(**found.groupdict(), found=large) if "{" in text else text
    return OTHERWISE


def kind(reason: str) -> str:
    """Return a reason without what differs from program to program: those of one kind are told together."""
    if reason.startswith("power:"):
        return POWER
    first = in_short(reason.partition(";")[0])
    if first.startswith("quality gate"):
        return "the model predicts these perturbations no better than the mean shift of all others does"
    first = re.sub(r"^\d+ (.*), (\d+) needed$", r"fewer than \2 \1", first)
    return re.sub(r" of \d+ | \d+\.\d+ ", lambda number: number[0], first)


def why(row: Mapping[str, Any], interest: float) -> str:
    """Return the reason of one verdict that is not evaluable in plain words, its own numbers kept."""
    reason = row["reason"]
    if not reason.startswith("power:"):
        return reason.partition(";")[0].removeprefix("not evaluable: ")
    if "draws would do" in reason or "smallest p" in reason:
        return reason.removeprefix("power: ").partition(";")[0]
    ends = "" if isnan(row["d_low"]) else f" (it lies between {short(row['d_low'])} and {short(row['d_high'])} sd)"
    return f"an effect of {interest:g} sd is neither found nor excluded{ends}"
