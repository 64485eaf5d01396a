"""Two ways in which a graph can act: Hill kinetics at steady state, and a linear system of logarithms.

Levels are relative to those of an undisturbed cell: 1 is usual. A cell's own factors multiply them.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from pertprobe.data.networks.graph import Graph
from pertprobe.statistics.arrays import Floats

LEAK = 0.1
"""What is left of a gene that its regulators shut, or do not open."""
LINEAR_WEIGHT = 0.45
"""Of a regulator of average strength, in logarithms."""
MOST = 50.0
"""Level beyond which no gene goes."""
Edit = Callable[[int, Floats], Floats]
"""Given a gene and its level in each cell, returns the level that an experiment leaves."""


class Mechanism(Protocol):
    """How regulators act on a gene."""

    def __call__(self, graph: Graph, gene: int, levels: Floats) -> Floats:
        """Return what multiplies a gene's level [cells], 1 where its regulators are at 1; `levels` [cells, genes]."""


def hill(graph: Graph, gene: int, levels: Floats) -> Floats:
    """Multiply the Hill functions of all regulators, each relative to what it is at 1."""
    factor = np.ones(len(levels))
    signs, strengths, steepness = (part[gene] for part in (graph.signs, graph.strengths, graph.steepness))
    for parent, raises, strength, steep in zip(graph.parents[gene], signs, strengths, steepness, strict=True):
        open_, usual = (_saturated(each, strength, steep) for each in (levels[:, parent], np.ones(1)))
        factor *= _opened(open_, raises) / _opened(usual, raises)
    return factor


def _saturated(level: Floats, half: float, steep: float) -> Floats:
    return level**steep / (half**steep + level**steep)


def _opened(saturation: Floats, raises: bool) -> Floats:
    return LEAK + (1 - LEAK) * (saturation if raises else 1 - saturation)


def linear(graph: Graph, gene: int, levels: Floats) -> Floats:
    """Multiply powers of the regulators' levels: sums of logarithms, down to the leak."""
    own = graph.parents[gene]
    weights = LINEAR_WEIGHT * graph.strengths[gene] * np.where(graph.signs[gene], 1.0, -1.0)
    return np.exp(np.log(np.maximum(levels[:, own], LEAK)) @ weights)


def steady(graph: Graph, mechanism: Mechanism, own: Floats, edit: Edit | None = None) -> Floats:
    """Return the levels [cells, genes] of cells with these factors of their own, regulators first."""
    levels = np.ones_like(own)
    for gene in range(own.shape[1]):
        level = np.minimum(mechanism(graph, gene, levels) * own[:, gene], MOST)
        levels[:, gene] = level if edit is None else edit(gene, level)
    return levels
