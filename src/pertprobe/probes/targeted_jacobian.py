"""targeted_jacobian: do a pathway's perturbations strengthen its own regulator -> target derivatives?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pertprobe.probes import panels
from pertprobe.probes.base import NOT_EVALUABLE, Drawing, MeasureInputs, TestInputs, World
from pertprobe.probes.questions import Question
from pertprobe.roles import SUBJECT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pertprobe.plots import DrawInputs

TOGETHER = {"": 0.3, "co_expressed": 0.8}
"""Kind of null world -> how much the pairs of a panel vary together over perturbations."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return dY[target]/dX[regulator] and the share of open targets (`panels`), by the settings at and derivative.

    The attribute `batch` names the batch label of the mean cell.
    """
    from pertprobe.interpret.jacobian import panel_jacobian  # torch, which tests do without
    from pertprobe.models.base import encode_each

    genes = panels.measured_genes(inputs)
    if reason := panels.unmeasured(genes):
        return xr.Dataset(attrs={NOT_EVALUABLE: reason})
    point, label = _point(inputs)
    codes = encode_each(inputs.model, names)
    places = genes.positions(inputs.model)
    asked = (inputs.model, codes, point, *places, inputs.settings["derivative"])
    found = panel_jacobian(*asked, memory_gb=inputs.memory_gb)
    values, opened = (each.detach().cpu().numpy().swapaxes(0, 1) for each in found)
    return panels.dataset(values, opened, names, genes, label)


def _point(inputs: MeasureInputs) -> tuple[Any, str]:
    """Return where the derivative is taken, and the batch label used there (empty: each cell its own)."""
    from pertprobe.interpret.jacobian import cells_point, check_multiplicity, mean_cell_point

    model, cells = inputs.model, inputs.cells
    code = model.encode_perturbations([model.control])[0]
    if inputs.settings["at"] == "cells":
        return cells_point(cells.values, model.batch_indices(cells.batches), code), ""
    label = panels.commonest(cells.batches)
    indices = model.batch_indices(np.array([label])) if label else None
    batch = None if indices is None else int(indices[0])
    point = mean_cell_point(cells.values, batch, code, inputs.settings["derivative"])
    if inputs.role == SUBJECT:  # its copies have the same architecture, and planted models are set functions
        check_multiplicity(model, code, point)
    return point, label


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Are a panel's derivatives larger under its pathway's perturbations than under others of the same strength?"""
    yield from panels.questions(inputs)


def null_world(draw: Drawing) -> World:
    """Draw derivatives that grow with strength, and with no pathway: of any pairs, or of co-expressed ones."""
    return panels.null_world(panels.null_derivatives(draw, TOGETHER[draw.kind]))


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw every perturbation's mean rank on a panel's pairs: the pathway's beside all others."""
    return panels.draw(inputs)
