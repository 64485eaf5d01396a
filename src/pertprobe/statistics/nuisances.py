"""What is held beside strength: groups of units (batches, where they were trained), numbers of cells, shared axes."""

from typing import NamedTuple

import numpy as np

from pertprobe.shapes import Array, Float, Integer
from pertprobe.statistics.arrays import Floats, Pairwise, PerUnit
from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.sets import scores_without_strength


class Beside(NamedTuple):
    """Nuisances of units that are held beside strength; without any of them, strength alone is."""

    groups: Floats | None = None
    """Share of each group that a unit belongs to [unit, group]: two units of one group are alike by it."""
    cells: Floats | None = None
    """Number of cells behind each unit [unit]."""
    axes: int = 0
    """How many axes that units share are held, in how alike they are."""

    def of(self, units: Integer[Array, " kept"]) -> "Beside":
        """Return the nuisances of some units, in this order."""
        taken = (None if each is None else np.asarray(each)[units] for each in (self.groups, self.cells))
        return Beside(*taken, self.axes)

    def pairs_without(self, similarity: Pairwise) -> Float[Array, "unit unit"]:
        """Return a similarity [P, P] less what groups and numbers of cells explain of pairs.

        Least squares over pairs i < j on g_ib g_jb of each group b and, with c the rank of the number of cells, on 1,
        c_i + c_j and c_i c_j. A unit's similarity with itself has no say.
        """
        similarity = np.asarray(similarity, dtype=np.float64)
        columns = self._columns(len(similarity))
        if columns.shape[1] == 1:
            return similarity
        n_groups = 0 if self.groups is None else self.groups.shape[1]
        smooth = range(columns.shape[1] - n_groups)
        first, second = np.array(
            [(p, q) for p in smooth for q in smooth if p <= q] + [(g, g) for g in range(len(smooth), columns.shape[1])]
        ).T
        coefficients = _least_squares(similarity, columns, first, second)
        mixed = np.zeros((columns.shape[1],) * 2)
        mixed[first, second] = coefficients
        return similarity - columns @ ((mixed + mixed.T) / 2) @ columns.T

    def scores_without(self, scores: PerUnit, strength: PerUnit) -> Float[Array, " unit"]:
        """Return scores [P] less what strength, groups and numbers of cells explain: least squares over units."""
        columns = self._columns(len(scores))[:, 1:]
        rest, others = (scores_without_strength(each, strength) for each in (scores, columns))
        return rest - others @ np.linalg.lstsq(others, rest, rcond=None)[0] if columns.size else rest

    def _columns(self, n_units: int) -> Floats:
        """Return what a unit has of each nuisance [P, k]: a constant first, then cells, then groups."""
        columns = [np.ones((n_units, 1))]
        if self.cells is not None:
            ranks = (average_ranks(np.asarray(self.cells, dtype=np.float64)) - 0.5) / max(n_units, 1)
            columns.append(2 * ranks[:, None] - 1)
        return np.column_stack([*columns, *([] if self.groups is None else [self.groups])])


NOTHING = Beside()
"""Nothing but strength."""


def _least_squares(similarity: Floats, columns: Floats, first: np.ndarray, second: np.ndarray) -> Floats:
    """Return the coefficients of (c_ip c_jq + c_iq c_jp) / 2 over pairs i != j, p and q the columns of each term."""
    products, own = columns.T @ columns, columns[:, first] * columns[:, second]
    straight = products[np.ix_(first, first)] * products[np.ix_(second, second)]
    crossed = products[np.ix_(first, second)] * products[np.ix_(second, first)]
    wanted = (columns.T @ similarity @ columns)[first, second] - np.diagonal(similarity) @ own
    return np.linalg.lstsq((straight + crossed) / 2 - own.T @ own, wanted, rcond=None)[0]
