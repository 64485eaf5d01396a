"""delta_y: the mean response to each perturbation less that to the control. A space, and every probe's strength.

Probes of responses test this measurement; where one is asked it holds untrained copies and planted models too.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.batching import counted
from pertprobe.probes.base import MeasureInputs, averaged

if TYPE_CHECKING:
    from pertprobe.models.base import Model


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return delta_y [set, perturbation, gene]: E[Y | perturbation] - E[Y | control] over the cells of each set.

    In gene space where the model has one, in the dimensions of its embedding otherwise.
    """
    model, cells = inputs.model, inputs.cells
    respond, genes = (model.predict_genes, model.output_genes) if model.output_genes else (model.predict, model.genes)
    control = respond(cells.values, model.control, cells.batches).mean(-2)
    means = (respond(cells.values, name, cells.batches).mean(-2) for name in counted(names, "delta_y of perturbations"))
    shift = ("set", "perturbation", "gene"), np.stack([(each - control).cpu().numpy() for each in means], axis=1)
    return xr.Dataset({"delta_y": shift}, {"perturbation": names, "gene": list(genes)})


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return models whose members' responses are alike by d, and the mean shift where it is among those given.

    The other planted models respond through a gate for each program, of which members hold one among many: they are
    less alike than d says. A mechanism and a lookup respond alike.
    """
    from pertprobe.models.planted.gated import gated_models

    kept = {kind: model for kind, model in models.items() if kind == "additive"}
    return {**gated_models(models["planted"], inputs.cells), **kept}


def strength(measurement: xr.Dataset) -> pd.Series:
    """Return perturbation -> Euclidean norm over genes of its delta_y, mean over cell sets."""
    shift = averaged(measurement, "delta_y")
    return pd.Series(np.linalg.norm(shift.values, axis=1), index=shift.perturbation.values)
