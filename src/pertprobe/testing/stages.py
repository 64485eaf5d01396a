"""Checks of a model's stages, and of what it offers beside them."""

from collections.abc import Iterator

import torch

from pertprobe.interpret.jacobian.linear_ends import factorised
from pertprobe.interpret.jacobian.points import check_multiplicity, mean_cell_point
from pertprobe.models.contributions import contributions
from pertprobe.testing.given import Given, error, shape_of


def composed(given: Given) -> Iterator[str]:
    """Yield where `predict` is not its stages one after the other."""
    for name in given.names:
        if not (off := error(given.composed(name), given.predict(name))) <= given.alike:
            yield (
                f"decode(mix(code of '{name}', encode_cells(X))) and predict differ by {off:.2g} of the answer. Let "
                "predict call the stages, residuals and the last activation included"
            )
            return
    codes = given.model.encode_perturbations(given.names)
    if codes.ndim != 2 or len(codes) != len(given.names):
        yield f"encode_perturbations of {len(given.names)} names gives {shape_of(codes)}. Return [names, H]"


def layers(given: Given) -> Iterator[str]:
    """Yield where the hidden states are not those of `n_layers` layers, or an edit of them is not heeded."""
    model, encoded, asked = given.model, given.encoded(), []
    mixed = model.mix(given.code(), encoded, lambda layer, states: (asked.append(layer), states)[1])
    wanted = list(range(model.n_layers + 1))
    if len(mixed.layers) != len(wanted):
        yield f"mix gives {len(mixed.layers)} layers. Give n_layers + 1 = {len(wanted)}: the input, each block"
        return
    if asked != wanted:
        yield f"mix calls `edit` at layers {asked}. Call it once at each of {wanted}, in order"
        return
    cells = mixed.layers[0][..., model.cell_positions, :].shape[-2]
    if cells != given.cells.set_size:
        yield f"`cell_positions` picks {cells} of the tokens of a layer, {given.cells.set_size} cells were given"
    for layer in wanted:
        edited = model.mix(given.code(), encoded, lambda at, states, layer=layer: states + (at == layer))
        if torch.equal(edited.h, mixed.h):
            yield f"what `edit` returns at layer {layer} changes nothing. Go on from it: states = edit(layer, states)"
            return


def multiplicity(given: Given) -> Iterator[str]:
    """Yield where a cell of multiplicity S is not S such cells; raises PertprobeError in those words."""
    index = None if given.batch is None else int(given.batch.flatten()[0])
    check_multiplicity(given.model, given.code(), mean_cell_point(given.cells.values, index, given.X))
    yield from ()


def linear_ends(given: Given) -> Iterator[str]:
    """Yield where the parts are not the model; raises PertprobeError in those words."""
    factorised(given.model, given.point)
    yield from ()


def resume(given: Given) -> Iterator[str]:
    """Yield where going on from a layer's states does not end where `mix` does."""
    mixed = given.model.mix(given.code(), given.encoded())
    for layer, states in enumerate(mixed.layers):
        if not (off := error(given.model.resume(layer, states).h, mixed.h)) <= given.alike:
            yield f"resume({layer}, its states) ends {off:.2g} away from what mix gives. Skip the blocks below, no more"
            return


def code_features(given: Given) -> Iterator[str]:
    """Yield where codes are not those of the perturbations' features."""
    model = given.model
    features = model.perturbation_features
    if len(features) != len(model.perturbations):
        yield f"`perturbation_features` has {len(features)} rows for {len(model.perturbations)} perturbations"
        return
    rows = [list(model.perturbations).index(name) for name in given.names]
    codes = model.encode_perturbations(given.names)
    if not error(model.encode_features(features[rows]), codes) <= given.alike:
        yield "encode_features(perturbation_features) are not the codes. Both must go the same way"


def affine_map(given: Given) -> Iterator[str]:
    """Yield where the frozen map is not the model at its input, or is not affine."""
    frozen = given.model.freeze(given.X, given.names[-1], given.batch)
    if not (off := error(frozen.output, given.predict(given.names[-1]))) <= max(given.alike, 1e-6):
        yield f"freeze: its output differs from the model's by {off:.2g} of the answer"
    if not (off := error(sum(contributions(frozen)), frozen.output)) <= 1e-6:
        yield f"freeze: its contributions add up to something that is {off:.2g} away from its output"
    once, twice = frozen.from_cells(frozen.X), frozen.from_cells(2 * frozen.X)
    if not error(twice, 2 * once) <= 1e-6:
        yield "freeze: from_cells is not linear: twice the cells do not give twice the output"
