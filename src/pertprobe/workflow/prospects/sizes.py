"""How large everything is that a run asks about: each model, and what each probe meets in it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from pertprobe.models.state import train as training
from pertprobe.probes.declaration import SPACE_OF_RESPONSES, all_declared
from pertprobe.probes.work import Sizes
from pertprobe.roles import KNOWN
from pertprobe.workflow.settled import asked_panels, panels_measured

if TYPE_CHECKING:
    from pertprobe.models.base import Model
    from pertprobe.workflow.checks import Inputs
    from pertprobe.workflow.parts_of_config import Config
    from pertprobe.workflow.prospects.askable import Known

TRAINED = {"hidden_dim": 64, "n_layers": 2}
"""Sizes of the State models that a run trains (defaults of `models.state.train.train`)."""
WITH_CONTROLS = 2
"""Genes of a panel and of its control pairs, over those of the panel."""


class Sized(NamedTuple):
    """One model of a run, as far as its cost goes."""

    model: "Model"
    """The model itself, or an untrained one of the shape that the run will train."""
    perturbations: frozenset[str]
    """Those that are asked about, without the control."""
    trained: int
    """Perturbations whose code was trained, as far as is known."""
    sets: int
    cells: int
    """Of a set."""
    steps: int = 0
    """Of its training by the run; 0: it is given."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """Return what two models have in common that take the same time."""
        model = self.model
        known = type(model).__name__, len(model.genes), len(model.output_genes), model.n_layers, self.width
        return *known, self.sets, self.cells

    @property
    def width(self) -> int:
        """Numbers in a code."""
        return int(self.model.encode_perturbations([self.model.control]).shape[-1])


def sized_models(config: "Config", inputs: "Inputs", found: "Known | None") -> tuple[dict[str, Sized], list[str]]:
    """Return name -> model whose cost can be told, and the names of those of which it cannot."""
    models: dict[str, Sized] = {}
    for name, entry in config["models"].items():
        cells = config["cells"][entry["context"]]
        sizes = {"sets": cells["n_sets"], "cells": cells["set_size"]}
        if name in inputs.models:
            asked, trained = _perturbations(inputs.models[name], found and found.models[name])
            models[name] = Sized(inputs.models[name], asked, trained, **sizes)
        elif entry["kind"] not in KNOWN and (names := _names(config, inputs, entry["context"])):
            model, steps = stand_in(*names, cells["set_size"]), entry["train"].get("steps", STEPS)
            models[name] = Sized(model, frozenset(names[1]), len(names[1]), **sizes, steps=steps)
    return models, [name for name in config["models"] if name not in models]


def _perturbations(model: "Model", known: Mapping[str, Any] | None) -> tuple[frozenset[str], int]:
    """Return the perturbations of a model that are asked about, and how many were trained, as far as is known."""
    if known is None:
        asked = frozenset(model.perturbations) - {model.control}
        return asked, len(asked)
    asked = frozenset(known["perturbations"])
    return asked, sum(known["seen"].get(name) != "never" for name in asked)


STEPS = 2500
"""Of a training whose config says none."""


def _names(config: "Config", inputs: "Inputs", context: str) -> tuple[list[str], list[str]] | None:
    """Return genes and perturbations of the cells that a model is trained on; None where they cannot be told."""
    if made := config.get("simulate"):
        genes = [f"g{i:03d}" for i in range(1, made["genes"] + 1)]
        return genes, genes[: made["perturbations"]]
    if context in inputs.cells:
        cells = inputs.cells[context]
        return list(cells.genes), list(cells.perturbations)
    return None


def stand_in(genes: list[str], perturbations: list[str], set_size: int) -> "Model":
    """Return an untrained model of the shape that a run trains on such cells: as fast as one that is trained."""
    import torch

    labels = pd.DataFrame({"perturbation": [CONTROL, *perturbations], "context": "", "batch": ""})
    cells = training.TrainingCells(torch.zeros(len(labels), 0), tuple(genes), labels)
    return training._untrained(cells, CONTROL, set_size, **TRAINED, seed=0)


CONTROL = "control"
"""Label of control cells in a model that is only timed."""


def sizes_of(config: "Config", sized: Sized, probe: str, programs: int) -> Sizes:
    """Return what a probe's measurement meets in a model; `programs` can be asked."""
    settings = config["probes"].get(probe) or {}
    chosen = panels_measured(config, probe)
    wide, model = sized.width, sized.model
    sae = config["sae"].get(settings.get("sae"))
    return Sizes(
        perturbations=len(sized.perturbations),
        trained=sized.trained,
        genes=len(model.genes),
        outputs=len(model.output_genes) or wide,
        width=wide,
        sets=sized.sets,
        contexts=len(config["cells"]),
        programs=programs,
        panels=len(chosen),
        regulators=WITH_CONTROLS * len(_members(chosen.values(), "regulators")),
        targets=WITH_CONTROLS * len(_members(chosen.values(), "targets")),
        knocked_down=len(sized.perturbations & {*model.genes}),
        settings=settings,
        features=sae["expansion"] * wide if sae else 0,
    )


def _members(panels: Iterable[Mapping[str, Any]], part: str) -> set[str]:
    return {name for panel in panels for name in panel[part]}


def programs_of(config: "Config", table: pd.DataFrame) -> dict[str, int]:
    """Return probe -> programs, or panels, that can be asked of one model; of a run that simulates all, at most."""
    if table.empty:
        made = config["simulate"]["programs"] if "simulate" in config else 1
        return {
            name: len(asked_panels(config, name)) or made if each.of_panels else made
            for name, each in all_declared(config["probes"]).items()
        }
    asked = table[table.enough].groupby(["probe", "model"]).size()
    return {name: int(asked.get(name, pd.Series([0])).max()) for name in config["probes"]}


def measured(config: "Config") -> Iterator[tuple[str, list[str]]]:
    """Yield each measurement of a run and the probes that test it."""
    probes = all_declared(config["probes"])
    for name in sorted({SPACE_OF_RESPONSES, *(each.measurement for each in probes.values())}):
        yield name, [probe for probe, each in probes.items() if each.measurement == name]
