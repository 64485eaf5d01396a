"""input_sensitivity: what does the output answer to, how strongly, and do derivatives of this model mean anything?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.probes.base import Drawing, MeasureInputs, TestInputs, World, averaged, first_sets, labelled
from pertprobe.probes.gene_questions import gene_ranks
from pertprobe.probes.questions import Question
from pertprobe.probes.work import Sizes, Work
from pertprobe.probes.worlds import cells_of, drawn_subject, unit_names
from pertprobe.roles import SUBJECT
from pertprobe.seeding import generator
from pertprobe.statistics.null_worlds import SPREAD

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

SIGNS = 16
"""Random draws behind the gradient of a layer."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: one perturbation, the control unless another is asked for."""
    return [inputs.perturbation(inputs.settings["perturbation"])]


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return gains, gradients and the linear range under one perturbation, at the cells themselves.

    input_response [set, feature] and output_response [set, gene]: norms of the columns and rows of the Jacobian (total,
    of the mean output), each input gene times its sd over control cells; input_gradient [set, feature]: of the columns
    as they are. spectral_norm, converged, shift_norm [set]: largest gain of the whole map, its relative change in the
    last step, and that of a common shift. activation, gradient [set, layer]. closed [set, gene]: share of cells whose
    output is exactly 0. noise_response, noise_error [set, noise, draw]. set_difference: norm of the difference of the
    mean outputs of two cell sets, mean over pairs; nan with one set.
    """
    import torch  # tests do without it

    from pertprobe.interpret.jacobian import cells_point
    from pertprobe.interpret.sensitivity import sensitivity

    model, cells = inputs.model, inputs.cells
    few = first_sets(cells, cells.n_sets if inputs.role == SUBJECT else inputs.settings["copy_sets"])
    code = model.encode_perturbations([names[0]])[0]
    point = cells_point(few.values, model.batch_indices(few.batches), code)
    given = {"sd": gene_sd(cells.values), "noise": _noise(inputs), "signs": _signs(inputs, few.n_sets)}
    given["start"] = _start(inputs)[: few.n_sets]
    given = {name: torch.as_tensor(each).to(code) for name, each in given.items()}
    found = sensitivity(model, code, point, **given)
    arrays = {name: (DIMS[name], value.cpu().numpy().astype(np.float64)) for name, value in found.items()}
    genes = {"feature": list(model.genes), "gene": list(model.output_genes)}
    return labelled(arrays, noise=inputs.settings["noise"], **genes)


ITERATIONS = 100
"""Steps that the power iteration takes, at most."""


def work(sizes: Sizes) -> Work:
    """Return a pass for every draw of noise, and directions: of the power iteration, of signs, of the whole map."""
    sets, draws = sizes.copy_sets, len(sizes.settings["noise"]) * sizes.settings["draws"]
    each = 2 * ITERATIONS + SIGNS + min(sizes.width, sizes.outputs)
    return Work(sets * (draws + 1), sets * each, kept=sets * (2 * sizes.genes + 2 * sizes.outputs))


DIMS = {
    "input_gradient": ("set", "feature"), "input_response": ("set", "feature"), "output_response": ("set", "gene"),
    "closed": ("set", "gene"), "activation": ("set", "layer"), "gradient": ("set", "layer"),
    "spectral_norm": ("set",), "converged": ("set",), "shift_norm": ("set",), "set_difference": (),
    "noise_response": ("set", "noise", "draw"), "noise_error": ("set", "noise", "draw"),
}  # fmt: skip
"""Variable of the measurement -> its axes."""


def gene_sd(values: np.ndarray) -> np.ndarray:
    """Return each gene's standard deviation [G] over all control cells [n_sets, S, G]."""
    return values.reshape(-1, values.shape[-1]).astype(np.float64).std(axis=0)


def set_sd(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation [G] of each gene's mean between cell sets [n_sets, S, G].

    Of one set, what sampling S of its cells gives: sd / sqrt(S).
    """
    if len(values) == 1:
        return gene_sd(values) / np.sqrt(values.shape[1])
    return values.astype(np.float64).mean(axis=1).std(axis=0, ddof=1)


def _noise(inputs: MeasureInputs) -> np.ndarray:
    """Return shifts of all cells [noise, draws, G], of the sizes asked for; one draw has one direction at all sizes."""
    values = inputs.cells.values
    shape = (inputs.settings["draws"], values.shape[-1])
    directions = generator(inputs.seed, "input_sensitivity", "noise").normal(size=shape) * set_sd(values)
    return np.array(inputs.settings["noise"], dtype=np.float64)[:, None, None] * directions


def _signs(inputs: MeasureInputs, n_sets: int) -> np.ndarray:
    """Return random signs [SIGNS, n_sets, G_out]; every set has those of the first."""
    shape = SIGNS, len(inputs.model.output_genes)
    draw = generator(inputs.seed, "input_sensitivity", "signs").choice([-1.0, 1.0], shape)
    return np.repeat(draw[:, None], n_sets, axis=1)


def _start(inputs: MeasureInputs) -> np.ndarray:
    """Return where the power iteration begins [n_sets, S, G]."""
    return generator(inputs.seed, "input_sensitivity", "start").normal(size=inputs.cells.values.shape)


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Are the program's genes among those that the output answers to most, or among the outputs that answer most?"""
    for statistic, variable in (("input_rank", "input_gradient"), ("output_rank", "output_response")):
        yield gene_ranks(inputs, statistic, averaged(inputs.subject.measurement, variable).to_series())


def null_world(draw: Drawing) -> World:
    """Draw gradients that grow with expression, as models learn most of highly expressed genes, and differ by chance.

    Members' are higher by d sd of the logarithms of all others'.
    """
    names, rng = unit_names(draw.units), draw.rng
    expression = pd.Series(rng.lognormal(0, SPREAD, draw.units), names)
    gradient, response = (np.log(expression) + rng.normal(0, SPREAD, draw.units) for _ in range(2))
    gradient[draw.inside] += draw.d * gradient[~draw.inside].std(ddof=1)
    drawn = {"input_gradient": np.exp(gradient), "output_response": np.exp(response)}
    arrays = {name: (DIMS[name], each.to_numpy()[None]) for name, each in drawn.items()}
    subject = drawn_subject(labelled(arrays, feature=names, gene=names), pd.Series(dtype=float))
    return World(expression, lambda _: {"subject": subject, "cells": cells_of(expression)})


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw gradients by layer, the linear range, the inputs that count most, and programs by rank."""
    from pertprobe.probes import sensitivity_figure

    return sensitivity_figure.draw(inputs)
