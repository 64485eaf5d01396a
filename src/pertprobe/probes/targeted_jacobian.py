"""targeted_jacobian: do a pathway's perturbations strengthen its own regulator -> target derivatives?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import xarray as xr

from pertprobe.probes import panels
from pertprobe.probes.base import NOT_EVALUABLE, Drawing, MeasureInputs, TestInputs, World
from pertprobe.probes.questions import Question
from pertprobe.probes.work import Sizes, Work, directions

if TYPE_CHECKING:
    from pertprobe.plots import DrawInputs, Drawn

GAIN = "gain"
TOGETHER = {"": 0.3, "co_expressed": 0.8, GAIN: 0.3}
"""Kind of null world -> how much the pairs of a panel vary together over perturbations."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return dY[target]/dX[regulator], shares of open cells and gains (`panels`), by the settings at and derivative.

    The attribute `batch` names the batch label of the mean cell.
    """
    from pertprobe.interpret.jacobian import panel_jacobian, place  # torch, which tests do without
    from pertprobe.models.base import encode_each

    genes = panels.measured_genes(inputs)
    if reason := panels.unmeasured(genes):
        return xr.Dataset(attrs={NOT_EVALUABLE: reason})
    point, label = place(inputs.model, inputs.cells, inputs.settings, inputs.role)
    places, derivative = genes.positions(inputs.model), inputs.settings["derivative"]
    codes = encode_each(inputs.model, names)
    limits = {"memory_gb": inputs.memory_gb, "probes": panels.PROBES}
    found = panel_jacobian(inputs.model, codes, point, *places, derivative, **limits)
    parts = (each.detach().cpu().numpy().swapaxes(0, 1) for each in found)
    return panels.dataset(*parts, names, genes, label)


def work(sizes: Sizes) -> Work:
    """Return the directions of regulators, and of those that ask how a target answers, under every perturbation."""
    each = sizes.perturbations * min(sizes.regulators + panels.PROBES, sizes.targets)
    kept = sizes.sets * sizes.perturbations * sizes.targets * (sizes.regulators + 2)
    return directions(sizes, each)._replace(kept=kept)


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Are a panel's derivatives larger under its pathway's perturbations than under others of the same strength?"""
    yield from panels.questions(inputs)


def null_world(draw: Drawing) -> World:
    """Draw derivatives that grow with strength, and with no pathway: of any pairs, or of co-expressed ones.

    Or of targets whose gain differs between perturbations.
    """
    made = panels.null_derivatives(draw, TOGETHER[draw.kind])
    gain = panels.null_gain(draw, made.values.shape[1]) if draw.kind == GAIN else None
    return panels.null_world(made, gain=gain)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each panel beside its null, and every perturbation's mean rank on the strongest panels' pairs."""
    return panels.draw(inputs)
