"""Every promise of `pertprobe.models.base.Model` held against a model, and what each probe will make of it."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import torch

from pertprobe.data.cell_sets import CellSets
from pertprobe.errors import PertprobeError
from pertprobe.models.base import Model
from pertprobe.models.randomised import permutation_obstacle, redraw_obstacle
from pertprobe.models.state.card import EQUIVARIANCE_TOLERANCE
from pertprobe.probes.base import first_sets
from pertprobe.probes.declaration import Declaration, all_declared
from pertprobe.stages.testing import CAUSAL_NOTE
from pertprobe.testing import answers, gradient, names, stages, untrained
from pertprobe.testing.found import ABSENT, BROKEN, KEPT, OPEN, Asked, ModelReport, Promise
from pertprobe.testing.given import N_SETS, Given, made_up_cells


class Check(NamedTuple):
    """How one promise is checked."""

    name: str
    promise: str
    check: Callable[..., Iterable[str]]
    """Yields, in words, what is wrong."""
    needs: tuple[str, ...] = ("predict",)
    """Capabilities that make the promise."""


OF_ITSELF = (
    Check("names", "names of genes, perturbations and batches are given, once each; the control is one", names.names),
    Check("capabilities", "what is declared is there", names.capabilities),
    Check("card", "the card says what a report needs", names.card),
)
"""Checks of the model alone; where names or capabilities are broken, nothing else can be asked."""
OF_ANSWERS = (
    Check("shapes", "cells [..., S, G] give a tensor [..., S, G_out]", answers.shapes),
    Check("finite", "every number of a response is finite", answers.finite),
    Check("repeatable", "the same question has the same answer, and leaves the cells as they are", answers.repeatable),
    Check("sets_apart", "the answer to a set of cells does not depend on other sets", answers.sets_apart),
    Check("set_function", "the order of cells does not matter", answers.order_of_cells, ("set_function",)),
    Check("batches", "batch labels are taken by name, unknown ones refused", answers.batches),
    Check("perturbations", "different perturbations have different responses", answers.perturbations),
    Check("unknown_names", "unknown perturbations are refused with a PertprobeError", names.refuses_unknown),
    Check("stages", "predict is its stages one after the other", stages.composed, ("stages",)),
    Check("layers", "each layer can be read and edited", stages.layers, ("stages",)),
    Check("multiplicity", "a cell of multiplicity S is S such cells", stages.multiplicity, ("stages", "set_function")),
    Check("gradient", "derivatives are those of central differences", gradient.gradient, ("gradient",)),
    Check("affine_map", "freeze gives the map that the model is at one input", stages.affine_map, ("affine_map",)),
    Check("linear_ends", "the model apart at its ends is the model", stages.linear_ends, ("linear_ends",)),
    Check("resume", "a run goes on from the states of a layer", stages.resume, ("resume",)),
    Check("code_features", "codes are those of the perturbations' features", stages.code_features, ("code_features",)),
    Check("redraw", "a copy has all that was learned drawn anew, by its seed", untrained.redraw, ("redraw",)),
    Check("keep", "stages that are to be kept stay", untrained.keep, ("redraw", "stages")),
    Check("parameters", "weights can be exchanged by name", untrained.parameters, ("parameters",)),
)
"""Checks of what the model does."""
FIRST = ("names", "capabilities", "shapes", "finite")
"""Promises without which no later one can be checked."""


def check_model(model: Model, cells: CellSets | None = None, *, held: Collection[str] = ()) -> ModelReport:
    """Check every promise that a model makes by its names, members and `capabilities`.

    Args:
        model: as your loader returns it; in float64 derivatives are checked most sharply.
        cells: control cells (`read_cells`); without them a few are made up of random numbers.
        held: names of the model's tensors that were given to it and not learned (a graph, an embedding of genes): an
            untrained copy may have them too.

    Returns:
        Which promises are kept, what is wrong with the others and what to do, and what each probe will make of the
        model. `report.ok` says whether all is well.
    """
    found = [_checked(each, _told(each.check, model), model) for each in OF_ITSELF]
    blocked = _first_broken(found)
    given = None if blocked else _given(model, cells, held)
    for each in OF_ANSWERS:
        if given is None or blocked:
            found.append(Promise(each.name, each.promise, OPEN, f"mend '{blocked}' first"))
            continue
        made = given.model.capabilities >= set(each.needs)
        with torch.no_grad():
            found.append(_checked(each, _told(each.check, given) if made else None, model))
        blocked = _first_broken(found)
    broken = {each.name for each in found if each.state in (BROKEN, OPEN)}
    notes = _notes(given) if given and not blocked else []
    card = getattr(model, "card", None)
    kind = card.get("kind", "") if isinstance(card, dict) else ""
    probes = () if given is None else tuple(_asked(each, model, broken) for each in all_declared().values())
    return ModelReport(kind or type(model).__name__, tuple(found), probes, tuple(notes))


def _given(model: Model, cells: CellSets | None, held: Collection[str]) -> Given:
    """Return what checks work with: a few of the cells, or made-up ones."""
    cells = made_up_cells(model) if cells is None else first_sets(cells.for_genes(model.genes), N_SETS)
    return Given(model, cells, frozenset(held))


def _told(check: Callable[..., Iterable[str]], about: Any) -> list[str]:
    """Return what a check says; whatever it raises is a fault of the model, in words."""
    faults = []
    try:
        faults.extend(check(about))
    except PertprobeError as fault:
        faults.append(str(fault))
    except Exception as fault:
        faults.append(f"{type(fault).__name__}: {fault}".strip().partition("\n")[0])
    return faults


def _checked(check: Check, faults: list[str] | None, model: Model) -> Promise:
    """Return a promise with what was found of it; None: it is not made."""
    if faults is None:
        lacking = [name for name in check.needs if name not in model.capabilities]
        return Promise(check.name, check.promise, ABSENT, f"model has no {' and no '.join(lacking)}")
    return Promise(check.name, check.promise, BROKEN if faults else KEPT, "; ".join(faults))


def _first_broken(found: Iterable[Promise]) -> str:
    """Return the name of a broken promise that others rest on; empty where there is none."""
    return next((each.name for each in found if each.state == BROKEN and each.name in FIRST), "")


def _asked(probe: Declaration, model: Model, broken: Collection[str]) -> Asked:
    """Return what a probe will make of a model."""
    if lacking := sorted(probe.needs - model.capabilities):
        return Asked(probe.name, False, f"model has no {' and no '.join(lacking)}")
    words = [f"'{each}' is broken: do not read it" for each in sorted(_rests_on(probe) & set(broken))]
    copies = redraw_obstacle(model)
    if copies and any(column.startswith("excess_redrawn") for column, *_ in probe.thresholds):
        words.append("its default verdict asks for untrained copies, and this model has none")
    if probe.first_order and model.card.get("causal"):
        words.append(CAUSAL_NOTE)
    return Asked(probe.name, True, "; ".join(words))


def _rests_on(probe: Declaration) -> set[str]:
    """Return the promises that a probe rests on."""
    answering = {each.name for each in OF_ANSWERS if each.needs == ("predict",)} - {"unknown_names"}
    made = {each.name for each in OF_ANSWERS if each.needs != ("predict",) and set(each.needs) <= probe.needs}
    return answering | made


def _notes(given: Given) -> list[str]:
    """Return what is no fault and worth knowing."""
    notes = names.undeclared(given.model)
    with torch.no_grad():
        if not given.can("set_function") and answers.reordered(given) <= EQUIVARIANCE_TOLERANCE:
            notes.append("the order of cells changes nothing: 'set_function' could be declared")
    precise = given.can("gradient") and gradient.in_float64(given.model).tensor(given.cells.values).dtype
    if precise == torch.float32:
        notes.append("derivatives were compared in float32: load the model with dtype='float64' for a sharper check")
    if obstacle := permutation_obstacle(given.model):
        notes.append(
            f"no shuffled copies: {obstacle}" if not redraw_obstacle(given.model) else redraw_obstacle(given.model)
        )
    return notes
