"""Worlds in which what a silenced gene does says no more of it than of any gene that is expressed alike."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pertprobe.data.cell_sets import CellSets
from pertprobe.probes.base import Drawing, Subject, labelled
from pertprobe.probes.worlds import cells_of, drawn_subject
from pertprobe.statistics.null_worlds import knockouts


class DrawnKnockouts(NamedTuple):
    """Profiles of the same silenced genes on two sides, whose agreement is to be tested."""

    ours: np.ndarray
    """[genes, outputs]."""
    theirs: np.ndarray
    """[genes, outputs]."""
    expression: pd.Series
    """Of each gene, mean over cells: the more, the later it stands."""

    @property
    def cells(self) -> CellSets:
        """Control cells in which genes are expressed so."""
        return cells_of(self.expression)

    def subject(self, **variables: np.ndarray) -> Subject:
        """Return a model of which this was measured, name -> values [genes, outputs] or [genes], in one cell set."""
        axes, names = ("set", "perturbation", "gene"), self.expression.index
        measured = {name: (axes[: 1 + each.ndim], each[None].astype(np.float32)) for name, each in variables.items()}
        outputs = [f"o{i:03d}" for i in range(self.ours.shape[1])]
        strength = pd.Series(np.linalg.norm(self.ours, axis=1), names)
        return drawn_subject(labelled(measured, perturbation=names, gene=outputs), strength)


def drawn_knockouts(draw: Drawing) -> DrawnKnockouts:
    """Draw profiles that are one shared profile, the more so the higher a gene is expressed, and noise of their own.

    Of `draw.members` part of the noise is the same on both sides, so that they agree `draw.d` sd more with themselves.
    """
    ours, theirs, sizes = knockouts(draw.rng, draw.units, draw.members, draw.d)
    return DrawnKnockouts(ours, theirs, pd.Series(sizes, [f"g{i:03d}" for i in range(draw.units)]))
