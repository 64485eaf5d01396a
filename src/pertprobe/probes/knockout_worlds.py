"""Worlds in which what a silenced gene does says no more of it than of any gene that is expressed alike."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.probes.base import Drawing, Subject
from pertprobe.statistics.null_worlds import knockouts


class DrawnKnockouts(NamedTuple):
    """Profiles of the same silenced genes on two sides, whose agreement is to be tested."""

    ours: np.ndarray
    """[genes, outputs]."""
    theirs: np.ndarray
    """[genes, outputs]."""
    cells: CellSets
    """In which genes are expressed the more, the later they stand."""
    expression: pd.Series
    """Of each gene, mean over cells."""

    def subject(self, **variables: np.ndarray) -> Subject:
        """Return a model of which this was measured, name -> values [genes, outputs] or [genes], in one cell set."""
        names = self.expression.index
        axes = {"perturbation": names, "gene": [f"o{i:03d}" for i in range(self.ours.shape[1])]}
        measured = {
            name: (("set", *list(axes)[: values.ndim]), values[None].astype(np.float32))
            for name, values in variables.items()
        }
        strength = pd.Series(np.linalg.norm(self.ours, axis=1), names)
        return Subject(xr.Dataset(measured, {"set": [0], **axes}), strength, pd.Series("here", names))


def drawn_knockouts(draw: Drawing) -> DrawnKnockouts:
    """Draw profiles that are one shared profile, the more so the higher a gene is expressed, and noise of their own.

    Of `draw.members` part of the noise is the same on both sides, so that they agree `draw.d` sd more with themselves.
    """
    drawn = knockouts(draw.rng, draw.units, draw.members, draw.d)
    expression = pd.Series(drawn.expression, [f"g{i:03d}" for i in range(draw.units)])
    values = expression.to_numpy(np.float32)[None, None]
    cells = CellSets(values, tuple(expression.index), None, np.array([["cell"]]), "drawn")
    return DrawnKnockouts(drawn.ours, drawn.theirs, cells, expression)
