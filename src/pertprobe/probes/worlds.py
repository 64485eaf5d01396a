"""What null worlds share: names of their units, a measured model, cells of a given expression."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.probes.base import Subject


def unit_names(n: int) -> list[str]:
    """Return the names of n units, in order."""
    return [f"u{i:04d}" for i in range(n)]


def drawn_subject(measurement: xr.Dataset, strength: pd.Series) -> Subject:
    """Return a model with this measurement, trained here with every perturbation."""
    return Subject(measurement, strength, pd.Series("here", strength.index))


def profiled_subject(variables: Mapping[str, tuple[Sequence[str], np.ndarray]], strength: np.ndarray) -> Subject:
    """Return a model of which this was measured: variable -> axes, among them perturbation, and values."""
    names, measured = unit_names(len(strength)), xr.Dataset(dict(variables))
    labels = {axis: np.arange(n) for axis, n in measured.sizes.items()} | {"perturbation": names}
    return drawn_subject(measured.assign_coords(labels), pd.Series(strength, names))


def cells_of(expression: pd.Series) -> CellSets:
    """Return one set of one cell that expresses each gene as given."""
    values = expression.to_numpy(dtype=np.float32)[None, None]
    return CellSets(values, tuple(expression.index), None, np.array([["cell"]]), "drawn")
