"""Planted models: does a probe find what it must in a mechanism, and nothing in a lookup and in mere co-variation?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.calibration.asking import answers_of, controlled, family, passing, question
from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import CONTEXTS, World, inputs_of, models_of, random_programs, subject_of, world
from pertprobe.probes import load_probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs, itself
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.programs import Programs
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.verdict import of_planted

FIGURE = "planted models"
BARS: dict[str | None, dict[str, Any]] = {
    "find": {"sense": "at least", "level": 0.95},
    "not find": {"sense": "at most", "level": 0.05},
    None: {},
}
"""What must come of a question -> the share of programs that may pass."""

Sizes = Mapping[str, Any]


@dataclass(frozen=True)
class Planted:
    """One planted model of one context, measured when it is asked."""

    probe: str
    inputs: MeasureInputs
    made: World
    observed: bool
    """Whether it is compared with what was observed."""

    @cached_property
    def subject(self) -> Subject:
        """The measured model."""
        observed = self.made.observed(self.inputs.cells.context) if self.observed else None
        return _one(subject_of(self.probe, self.inputs, observed))

    def under(self, perturbation: str) -> "Planted":
        """Return the same model, measured under a perturbation."""
        return replace(
            self, inputs=replace(self.inputs, settings=self.inputs.settings | {"perturbation": perturbation})
        )


def _one(subject: Subject) -> Subject:
    return replace(subject, measurement=itself(subject.measurement))


def planted(probe: str, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass in the planted models of one simulated data set, for what is declared.

    Each planted model is judged as if it were the subject, under the default thresholds without the conditions on what
    it does not have (verdict.OWN), in both contexts or between them. What must be found must be so at the strength that
    the probe declares. Random programs are sets of the planted programs' sizes that the model knows nothing of.
    """
    declaration = declared(probe)
    strengths = dict.fromkeys([sizes["d"], declaration.calibration["planted"]["found_at"]])
    with world(sizes["simulate"], seed) as made:
        rows = [row for d in strengths for row in _rows(declaration, made, d, len(strengths) > 1, sizes, seed)]
    return frame(rows)


def _rows(
    declaration: Declaration, made: World, d: float, several: bool, sizes: Sizes, seed: int
) -> Iterator[dict[str, Any]]:
    section, name = declaration.calibration["planted"], declaration.name
    every = {context: _models(declaration, made, context, d, seed) for context in CONTEXTS}
    said = f", d = {d:g}" if several else ""
    for words, asked in section["asked"].items():
        models = [every[context][asked["kind"]] for context in CONTEXTS]
        inputs = [each for pair in _pairs(models, asked, seed) for each in _questions(*pair, asked, sizes, seed)]
        must = None if asked["must"] == "find" and d != section["found_at"] else asked["must"]
        passed = _passed(declaration, inputs, asked, made)
        yield share(FIGURE, name, words + said, passed, seed=seed, note=asked["note"], **BARS[must])
        for statistic, close in section["known"].items():
            right = [near for pair in zip(models, inputs, strict=True) for near in _right(*pair, statistic, close)]
            setting = f"{words}, {statistic} within {close:g}{said}"
            yield share(FIGURE, name, setting, right, seed=seed, **BARS["find"])


def _passed(
    declaration: Declaration, inputs: Sequence[TestInputs], asked: Mapping[str, Any], made: World
) -> np.ndarray:
    """Return which programs pass, of all that are one family those that are asked for."""
    table = family([controlled(declaration, each) for each in inputs], declaration.compared_in)
    more = [(column, "==", True) for column in asked["exceeding"]]
    passed, is_first = (
        passing(table, [*of_planted(declaration.thresholds), *more]),
        table.program == next(iter(made.programs)),
    )
    return {"first": passed[is_first], "others": passed[~is_first]}.get(asked["programs"], passed)


def _models(declaration: Declaration, made: World, context: str, d: float, seed: int) -> dict[str, Planted]:
    """Return the planted models of a context that are asked for, by kind, as the probe plants them."""
    section, measurement = declaration.calibration["planted"], declared(declaration.measurement)
    models = models_of(made, context, d, seed, section["set_term"])
    inputs = inputs_of(
        declaration.name, made, context, models["planted"], seed, settings=section["settings"], programs=made.programs
    )
    plant = getattr(load_probe(measurement.name), section["by"], None)
    models = plant(inputs.limited_to(measurement), models) if plant else models
    inputs = replace(inputs, programs=made.programs | random_programs(made, seed, declaration.name))
    observed = any(asked["exceeding"] for asked in section["asked"].values())
    return {
        kind: Planted(
            declaration.name, replace(inputs, model=model, role=SUBJECT if section["known"] else kind), made, observed
        )
        for kind, model in models.items()
    }


def _pairs(models: list[Planted], asked: Mapping[str, Any], seed: int) -> list[tuple[Planted, Subject | None]]:
    """Return the models that are asked, each with its reference."""
    match asked["against"]:
        case "contexts":
            return [(models[0], models[1].subject)]
        case "itself":
            return [(models[0], models[0].subject)]
        case "exchanged":
            return [(models[0], _exchanged(models[0].subject, seed))]
    return [(model, None) for model in models]


def _exchanged(subject: Subject, seed: int) -> Subject:
    """Return the same measurement, each perturbation under the name of another."""
    names = subject.measurement.perturbation.values
    other = generator(seed, "calibration", "renamed").permutation(names)
    measurement = subject.measurement.assign_coords(perturbation=other).sortby("perturbation")
    return replace(
        subject,
        measurement=measurement,
        strength=subject.strength.rename(dict(zip(names, other, strict=True))).sort_index(),
    )


def _questions(
    model: Planted, other: Subject | None, asked: Mapping[str, Any], sizes: Sizes, seed: int
) -> Iterator[Any]:
    """Yield what a model is asked: of all its programs, or of each by itself under the member that acts most."""
    section, made = declared(model.probe).calibration["planted"], model.made
    programs = _programs(made, model.probe, asked["programs"], seed)
    for cases in [{name: programs[name]} for name in programs] if section["under"] else [programs]:
        case = model
        if section["under"]:
            members = made.programs[next(iter(cases))]
            case = model.under(max(members, key=model.subject.strength.__getitem__))
        sides = [case.subject, *([other] if other else [])]
        panels = {name: panel for name, panel in made.panels.items() if panel["program"] in cases}
        yield question(
            model.probe, made, case.inputs, sides, Programs(cases), sizes["permutations"],
            panels=panels, settings=section["settings"], seed=seed,
        )  # fmt: skip


def _programs(made: World, probe: str, which: str, seed: int) -> Programs:
    """Return the programs that are asked, one family for q."""
    if which == "random":
        return random_programs(made, seed, probe)
    if which == "regulators":
        return Programs({name: panel["regulators"] for name, panel in made.panels.items()})
    return made.programs


def _right(model: Planted, inputs: TestInputs, statistic: str, close: float) -> Iterator[bool]:
    """Yield which numbers of a statistic are as near as that to those that the probe knows of its planted model."""
    known = load_probe(model.probe).known(model.inputs)[statistic]
    found = {row["panel"] or row["program"]: row["estimate"] for row in answers_of(inputs, [statistic])}
    yield from (abs(found[name] - value) < close for name, value in known.items())
