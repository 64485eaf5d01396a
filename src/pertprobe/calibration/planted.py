"""Planted models: does a probe find what it must in a mechanism, and nothing in a lookup and in mere co-variation?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pertprobe.calibration.table import frame, share
from pertprobe.calibration.world import BARS, CONTEXTS, FOUND, Case, Row, World, answers_of, family, passing, world
from pertprobe.data.programs import Programs
from pertprobe.data.simulate import CONTROL
from pertprobe.probes import load_probe
from pertprobe.probes.base import MeasureInputs, Subject, TestInputs, itself
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.stages.testing import with_controls
from pertprobe.stages.verdict import of_planted
from pertprobe.statistics.null_worlds import SPREAD

FIGURE = "planted models"


@dataclass(frozen=True)
class Planted:
    """One planted model of one context, measured when it is asked."""

    case: Case
    inputs: MeasureInputs
    observed: bool
    """Whether it is compared with what was observed."""

    @cached_property
    def subject(self) -> Subject:
        """The measured model."""
        observed = self.case.made.observed(self.inputs.cells.context) if self.observed else None
        found = self.case.subject(self.inputs, observed)
        strength = found.strength
        if self.case.probe.calibration["planted"]["apart"]:
            rng = generator(self.case.seed, "calibration", "strength", self.case.probe.name)
            strength = pd.Series(rng.lognormal(0, SPREAD, len(strength)), strength.index)
        return replace(found, measurement=itself(found.measurement), strength=strength)

    def under(self, perturbation: str) -> "Planted":
        """Return the same model, measured under a perturbation."""
        settings = self.inputs.settings | {"perturbation": perturbation}
        return replace(self, inputs=replace(self.inputs, settings=settings))


def planted(probe: str, sizes: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Return the shares of programs that pass in the planted models of one simulated data set, for what is declared.

    Each planted model is judged as if it were the subject, under the default thresholds without the conditions on what
    it does not have (verdict.OWN), in both contexts or between them. What must be found must be so at the strength that
    the probe declares. Random programs are sets of the planted programs' sizes that the model knows nothing of.
    """
    section = declared(probe).calibration["planted"]
    strengths = dict.fromkeys([sizes["d"], section["found_at"]])
    rows: list[Row] = []
    with world(sizes["simulate"], seed) as made:
        case = Case(declared(probe), made, sizes["permutations"], seed, section["settings"])
        for d in strengths:
            said = f", d = {d:g}" if len(strengths) > 1 else ""
            every = [_models(case, context, d) for context in CONTEXTS]
            for words, asked in section["asked"].items():
                must = None if asked["must"] == "find" and d != section["found_at"] else asked["must"]
                rows += _rows(case, [models[asked["kind"]] for models in every], asked, (words, said), BARS[must])
    return frame(rows)


def _models(case: Case, context: str, d: float) -> dict[str, Planted]:
    """Return the planted models of a context by kind, as the probe plants them."""
    section, measurement = case.probe.calibration["planted"], declared(case.probe.measurement)
    models = models_of(case.made, context, d, case.seed, section["set_term"])
    inputs = case.inputs(context, models["planted"], programs=case.made.programs)
    plant = getattr(load_probe(measurement.name), section["by"], None)
    models = plant(inputs.limited_to(measurement), models) if plant else models
    programs = case.made.programs | random_programs(case.made, case.seed, case.probe.name)
    observed = any(asked["exceeding"] for asked in section["asked"].values())
    whole = section["known"]  # which the measurement of a control does not hold
    roles = {kind: SUBJECT if whole else kind for kind in models}
    return {
        kind: Planted(case, replace(inputs, model=model, role=roles[kind], programs=programs), observed)
        for kind, model in models.items()
    }


def _rows(
    case: Case, models: list[Planted], asked: Mapping[str, Any], words: tuple[str, str], bar: Mapping[str, Any]
) -> Iterator[Row]:
    inputs = [each for model, other in _pairs(models, asked) for each in _questions(model, other, asked["programs"])]
    passed, about = _passed(case, inputs, asked), (FIGURE, case.probe.name)
    yield share(*about, "".join(words), passed, seed=case.seed, note=asked["note"], **bar)
    for statistic, close in case.probe.calibration["planted"]["known"].items():
        right = [near for pair in zip(models, inputs, strict=True) for near in _right(*pair, statistic, close)]
        setting = f"{words[0]}, {statistic} within {close:g}{words[1]}"
        yield share(*about, setting, right, seed=case.seed, **FOUND)


def _passed(case: Case, inputs: Sequence[TestInputs], asked: Mapping[str, Any]) -> np.ndarray:
    """Return which programs pass, of all that are one family those that are asked for.

    Of those in which nothing must be found the ones that could be asked.
    """
    table = family([_compared(case.probe, each) for each in inputs], case.probe.compared_in)
    more = [(column, ">", 0) for column in asked["exceeding"]]
    passed = passing(table, [*of_planted(case.probe.thresholds), *more])
    first = (table.program == next(iter(case.made.programs))).to_numpy()
    about = {"first": first, "others": ~first}.get(asked["programs"], np.ones_like(first))
    # What could not be asked is not found; but nor is it shown that nothing is found there.
    return passed[about & table.evaluable.to_numpy(dtype=bool)] if asked["must"] == "not find" else passed[about]


def _compared(probe: Declaration, inputs: TestInputs) -> pd.DataFrame:
    """Return the rows of the statistic that planted models are compared in, co-expression beside it."""
    published = any(column.endswith("_published") for column, *_ in probe.thresholds)
    rows = answers_of(inputs, [probe.compared_in], published=published)
    return with_controls(rows, probe.compared_in, probe.compared_in, probe.common_scale)


def _pairs(models: Sequence[Planted], asked: Mapping[str, Any]) -> list[tuple[Planted, Subject | None]]:
    """Return the models that are asked, each with its reference."""
    match asked["against"]:
        case "contexts":
            return [(models[0], models[1].subject)]
        case "itself":
            return [(models[0], models[0].subject)]
        case "exchanged":
            return [(models[0], _exchanged(models[0].subject, models[0].case.seed))]
    return [(model, None) for model in models]


def _exchanged(subject: Subject, seed: int) -> Subject:
    """Return the same measurement, each perturbation under the name of another."""
    names = subject.measurement.perturbation.values
    other = generator(seed, "calibration", "renamed").permutation(names)
    measurement = subject.measurement.assign_coords(perturbation=other).sortby("perturbation")
    strength = subject.strength.rename(dict(zip(names, other, strict=True))).sort_index()
    return replace(subject, measurement=measurement, strength=strength)


def _questions(model: Planted, other: Subject | None, which: str) -> Iterator[TestInputs]:
    """Yield what a model is asked: of all its programs, or of each by itself under the member that acts most."""
    case, section = model.case, model.case.probe.calibration["planted"]
    programs, strongest, common = _programs(case, which), section["under"], float(section["common"])
    for some in [{name: programs[name]} for name in programs] if strongest else [programs]:
        members = case.made.programs[next(iter(some))] if strongest else ()
        mine = model.under(max(members, key=model.subject.strength.__getitem__)) if strongest else model
        panels = {name: panel for name, panel in case.made.panels.items() if panel["program"] in some}
        sides = [mine.subject, *([other] if other else [])]
        yield case.question(mine.inputs, sides, Programs(some), panels, shared_initialisation=common)


def _programs(case: Case, which: str) -> Programs:
    """Return the programs that are asked, one family for q."""
    if which == "random":
        return random_programs(case.made, case.seed, case.probe.name)
    if which == "regulators":
        return Programs({name: panel["regulators"] for name, panel in case.made.panels.items()})
    return case.made.programs


def _right(model: Planted, inputs: TestInputs, statistic: str, close: float) -> Iterator[bool]:
    """Yield which numbers of a statistic are as near as that to those that the probe knows of its planted model."""
    known = load_probe(model.case.probe.name).known(model.inputs)[statistic]
    found = {row["panel"] or row["program"]: row["estimate"] for row in answers_of(inputs, [statistic])}
    yield from (abs(found[name] - value) < close for name, value in known.items())


def random_programs(made: World, seed: int, *what: str) -> Programs:
    """Return random sets of perturbations, as many and as large as the planted programs; `what` names the draw."""
    found = {}
    for name, listed in made.programs.items():
        rng = generator(seed, "calibration", "random", *what, name)
        found[f"random_{name}"] = rng.choice(made.perturbations, len(listed), replace=False).tolist()
    return Programs(found)


def models_of(made: World, context: str, d: float, seed: int, set_term: float = 0.0) -> dict[str, Any]:
    """Return the planted models of one context; genes without a role are drawn alike for both."""
    from pertprobe.models.planted.closed_form import planted_models  # torch, which null worlds do without
    from pertprobe.models.planted.materials import expressed_genes

    cells = [each.values.reshape(-1, len(made.genes)) for each in made.cells.values()]
    expressed = frozenset.intersection(*(expressed_genes(values, made.genes) for values in cells))
    names = {"genes": made.genes, "perturbations": made.perturbations, "control": CONTROL}
    asked = {"cells": made.cells[context], "programs": made.programs, "panels": made.panels, "expressed": expressed}
    return planted_models(**names, **asked, d=d, seed=seed, set_term=set_term)
