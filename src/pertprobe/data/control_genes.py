"""Pairs of genes that a panel is compared with: as expressed, and as correlated in control cells, but of no panel."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pertprobe.data.cell_sets import CellSets

NEAREST = 20
"""A control target is the best correlated match among this many genes nearest in expression."""


class ControlGenes(NamedTuple):
    """The matched control genes of a panel, in the order of its genes."""

    regulators: tuple[str, ...]
    """Each nearest in mean expression to the regulator it is matched with."""
    targets: tuple[str, ...]
    """Each near in mean expression, and correlated with the control regulators as the target is with its own."""


def control_genes(
    cells: CellSets, regulators: Sequence[str], targets: Sequence[str], excluded: Collection[str]
) -> ControlGenes:
    """Return genes matched with a panel's measured regulators and targets, none twice (methods.md, Targeted Jacobian).

    `excluded` are genes that may not be chosen: those of all panels. Fewer come back where cells have too few genes.
    """
    position = {gene: place for place, gene in enumerate(cells.genes)}
    values = cells.values.reshape(-1, len(cells.genes)).astype(np.float64)
    expression, profiles = values.mean(axis=0), _standardised(values)
    free = [place for gene, place in position.items() if gene not in excluded]
    chosen: list[int] = []
    for gene in regulators:
        chosen += _nearest(expression, position[gene], free, chosen, 1)
    own = profiles[:, [position[gene] for gene in regulators[: len(chosen)]]]
    matched = profiles[:, chosen]
    found: list[int] = []
    for gene in targets:
        if candidates := _nearest(expression, position[gene], free, [*chosen, *found], NEAREST):
            wanted, offered = own.T @ profiles[:, position[gene]], matched.T @ profiles[:, candidates]
            found.append(candidates[int(np.abs(offered - wanted[:, None]).sum(axis=0).argmin())])
    return ControlGenes(tuple(cells.genes[i] for i in chosen), tuple(cells.genes[i] for i in found))


def _nearest(
    expression: NDArray[np.float64], gene: int, free: Sequence[int], used: Collection[int], count: int
) -> list[int]:
    left = [place for place in free if place not in used]
    return sorted(left, key=lambda place: abs(expression[place] - expression[gene]))[:count]


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns with mean 0 and length 1, whose products are correlations; zeros for a constant gene."""
    centred = values - values.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    return np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
