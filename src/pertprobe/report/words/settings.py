"""How this run judged, in words: its conditions, numbers of draws, seeds and levels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pertprobe.errors import in_a_row

CONDITIONS = {
    "q": "a false discovery rate q {sign} {value}",
    "p": "p {sign} {value}",
    "p_stratified": "p, with effect strength held, {sign} {value}",
    "effect": "an effect {sign} {value}",
    "excess_redrawn_low": "more than untrained copies have (the lower end of the 90 % interval {sign} {value})",
    "excess_rivals_low": "more than co-variation alone has (the lower end of the 95 % interval {sign} {value})",
    "share_low": "a share of what the data allow whose 95 % interval lies {sign} {value}",
    "estimate_published": "the published statistic {sign} {value}",
    "q_published": "q of the published test {sign} {value}",
    "p_published": "p of the published test {sign} {value}",
}
"""Column -> what a condition on it asks, in words; others are said by their name."""
SIGNS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "equal to"}
HELD = {
    "axes": "axes that all perturbations share",
    "batch": "batches",
    "seen": "where the model was trained with a perturbation",
    "cells": "numbers of cells",
}
"""Value of `statistics.hold` -> what it holds."""


def condition(column: str, sign: str, value: float) -> str:
    """Return what one condition asks."""
    words = CONDITIONS.get(column, f"{column} {{sign}} {{value}}")
    return words.format(sign=SIGNS[sign], value=f"{value:g}" if isinstance(value, float | int) else value)


def conditions(given: Sequence[Sequence[Any]]) -> str:
    """Return what a pass needs."""
    return in_a_row([condition(*each) for each in given])


def settings(params: Any) -> Iterator[str]:
    """Yield the settings of a run as sentences; `params` are those of the rule `report`."""
    statistics, controls, answer, programs = params.statistics, params.controls, params.answer, params.programs
    yield (
        f"Every draw is seeded by the number {params.seed} and by names. A null is made of "
        f"{statistics['permutations']:,} permutations, or of all arrangements where there are fewer, an interval of "
        f"{statistics['bootstrap']:,} resamples."
    )
    held = ["effect strength", *(HELD.get(each, each) for each in statistics["hold"])]
    yield f"Programs are compared with others alike in {in_a_row(held)}, as far as the run knows these."
    yield (
        f"A program is asked about where at least {programs['min_perturbations']} of its perturbations, or "
        f"{programs['min_genes']} of its measured genes, are there."
    )
    yield (
        f"An effect counts as absent where it is shown to be smaller than {params.interest['d']:g} standard deviations "
        "of all others; the smallest effect of a question is the one that is found in "
        f"{params.interest['power']:.0%} of cases."
    )
    yield (
        f"The answer: a share of {answer['delta']:g} of what the data allow counts as mechanism, and "
        f"{answer['most']:g} is enough where it is above 0 at all."
    )
    yield _controls(controls)


def _controls(controls: Mapping[str, Any]) -> str:
    """Return what stands beside every model."""
    copies = controls["redrawn"]
    beside = [
        f"{copies} re-drawn and {copies} shuffled untrained copies" if copies else "no untrained copies",
        "planted models in closed form" if controls["planted"] else "no planted models",
        "models whose kind is known" if controls["known"] else "no models of known kind",
    ]
    return f"Beside every model stand {in_a_row(beside)}."
