"""What null worlds share: names of their units, a probe's settings, a measured model, cells of a given expression."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.probes.base import Subject
from pertprobe.probes.declaration import declared


def unit_names(n: int) -> list[str]:
    """Return the names of n units, in order."""
    return [f"u{i:04d}" for i in range(n)]


def default_settings(probe: str) -> dict[str, Any]:
    """Return a probe's settings as a config that gives none has them."""
    return {key: piece["default"] for key, piece in declared(probe).settings.items() if "default" in piece}


def drawn_subject(measurement: xr.Dataset, strength: pd.Series) -> Subject:
    """Return a model with this measurement, trained here with every perturbation."""
    return Subject(measurement, strength, pd.Series("here", strength.index))


def cells_of(expression: pd.Series) -> CellSets:
    """Return one set of one cell that expresses each gene as given."""
    values = expression.to_numpy(dtype=np.float32)[None, None]
    return CellSets(values, tuple(expression.index), None, np.array([["cell"]]), "drawn")
