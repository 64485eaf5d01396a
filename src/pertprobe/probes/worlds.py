"""What null worlds share: names of their units, a measured model, cells of a given expression."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.models.planted.materials import loaded_codes
from pertprobe.probes.base import Drawing, Subject, World, labelled
from pertprobe.statistics.null_worlds import BIAS, SPREAD, confounded


def unit_names(n: int) -> list[str]:
    """Return the names of n units, in order."""
    return [f"u{i:04d}" for i in range(n)]


def drawn_subject(measurement: xr.Dataset, strength: pd.Series) -> Subject:
    """Return a model with this measurement, trained here with every perturbation."""
    return Subject(measurement, strength, pd.Series("here", strength.index))


def world_of(subject: Subject, reference: Subject | None = None, comparison: str = "contexts", **more: Any) -> World:
    """Return the world of one measured model, or of two that are compared, with further fields of `TestInputs`."""
    pair = {} if reference is None else {"reference": reference, "comparison": comparison}
    return World(subject.strength, lambda _: {"subject": subject, **pair, **more})


Variables = Mapping[str, tuple[Sequence[str], np.ndarray]]
"""Variable -> its axes, and values."""


def profiled_subject(variables: Variables, strength: np.ndarray) -> Subject:
    """Return a model of which this was measured: variable -> axes, among them perturbation, and values."""
    names = unit_names(len(strength))
    return drawn_subject(labelled(variables, perturbation=names), pd.Series(strength, names))


def loaded(draw: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Draw codes [units, width] in which members load on one direction, and strengths that have no part in it."""
    codes = loaded_codes(unit_names(draw.units), draw.inside[:, None], draw.d, int(draw.rng.integers(2**31)))
    return codes, draw.rng.lognormal(0, SPREAD, draw.units)


def along_nuisance(draw: Drawing, measured: Callable[[np.ndarray], Variables]) -> World:
    """Draw units that are alike by a nuisance, and a model that was `measured` on their profiles.

    Programs hold a unit in proportion to what it has of the nuisance. What is known of it stands where a run reads it:
    batches and numbers of cells in what was observed, the rest in how the model has seen each perturbation.
    """
    drawn = confounded(draw.rng, draw.kind, draw.units)
    subject = profiled_subject(measured(drawn.values), drawn.strength)
    names, known = subject.strength.index, {"delta_y": (("perturbation", "gene"), drawn.values)}
    if drawn.cells is not None:
        known["n_cells"] = ("perturbation", drawn.cells)
    if drawn.batches is not None:
        known["batch_share"] = ("perturbation", "batch"), drawn.batches
    seen = pd.Series(np.where(drawn.there, "elsewhere", "here"), names)
    observed = xr.Dataset(known, {"perturbation": names})
    weight = pd.Series(drawn.weight ** (1 / BIAS), names)
    return World(weight, lambda _: {"subject": replace(subject, seen=seen, observed=observed)})


def cells_of(expression: pd.Series) -> CellSets:
    """Return one set of one cell that expresses each gene as given."""
    values = expression.to_numpy(dtype=np.float32)[None, None]
    return CellSets(values, tuple(expression.index), None, np.array([["cell"]]), "drawn")
