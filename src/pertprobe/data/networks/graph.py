"""A regulatory graph without circles: regulators first, decoys that co-vary without cause, paralogs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pertprobe.statistics.arrays import Floats, Integers

FREE = 10
"""Regulators that nothing regulates."""
PARENTS = 3
"""Most regulators of a gene."""
ACTIVATES = 0.65
"""Share of the edges that raise."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Who regulates whom. Parents stand before their children."""

    parents: Sequence[Integers]
    """Of each gene [genes], positions of its regulators."""
    signs: Sequence[np.ndarray]
    """Of each gene, whether each regulator raises it."""
    strengths: Sequence[Floats]
    """Of each gene, how strongly each regulator acts, around 1."""
    steepness: Sequence[Floats]
    """Of each gene, how steep its answer to each regulator is: a Hill coefficient."""
    unmeasured: np.ndarray
    """Mediators that no cell shows, bool [genes]."""
    loadings: Floats
    """Of each gene on each axis along which cells differ for no cause in the graph [axes, genes]."""
    regulators: int
    """The first so many genes may regulate."""

    @property
    def measured(self) -> Integers:
        """Positions of measured genes."""
        return np.flatnonzero(~self.unmeasured)

    def downstream(self, gene: int) -> set[int]:
        """Return all genes that a gene acts upon, by whatever way."""
        reached = {gene}
        for child in range(gene + 1, len(self.parents)):
            if reached & set(self.parents[child].tolist()):
                reached.add(child)
        return reached - {gene}

    def seen_parents(self) -> list[Integers]:
        """Return the measured regulators of each measured gene, as positions among measured genes."""
        place = np.cumsum(~self.unmeasured) - 1
        return [place[own[~self.unmeasured[own]]] for own in (self.parents[gene] for gene in self.measured)]


def draw_graph(rng: Generator, genes: int, regulators: int, unmeasured: int, axes: int = 4, paralogs: int = 5) -> Graph:
    """Draw a graph of measured `genes` and `unmeasured` mediators.

    Paralogs are pairs of regulators with the same regulators of their own, of which one regulates nothing: they vary
    together, and silencing the second does nothing.
    """
    n = genes + unmeasured
    parents: list[Integers] = []
    for gene in range(n):
        earlier = min(gene, regulators)
        number = 0 if gene < FREE else int(rng.integers(1, PARENTS + 1))
        parents.append(rng.choice(earlier, min(number, earlier), replace=False).astype(np.intp))
    idle = rng.choice(np.arange(FREE + 1, regulators), paralogs, replace=False)
    parents = [np.setdiff1d(own, idle).astype(np.intp) for own in parents]
    for gene in idle:
        parents[gene] = parents[gene - 1] if gene - 1 not in idle else parents[gene]
    hidden = np.zeros(n, dtype=bool)
    hidden[rng.choice(np.setdiff1d(np.arange(FREE, n), idle), unmeasured, replace=False)] = True
    loadings = np.zeros((axes, n))
    for axis in loadings:
        chosen = rng.choice(n, n // 5, replace=False)
        axis[chosen] = rng.normal(0, 0.3, len(chosen))
    signs = [rng.random(own.size) < ACTIVATES for own in parents]
    strengths = [np.exp(rng.normal(0, 0.4, own.size)) for own in parents]
    steepness = [rng.uniform(1, 3, own.size) for own in parents]
    return Graph(parents, signs, strengths, steepness, hidden, loadings, regulators)


def rewired(graph: Graph, share: float, rng: Generator) -> Graph:
    """Return the graph of another context: of so many genes the regulators are drawn anew."""
    n, limit = len(graph.parents), graph.regulators
    idle = {gene for gene in range(limit) if not any(gene in own for own in graph.parents)}
    found = list(graph.parents)
    for gene in np.flatnonzero((rng.random(n) < share) & (np.arange(n) >= FREE)):
        allowed = np.setdiff1d(np.arange(min(gene, limit)), list(idle))
        found[gene] = np.sort(rng.choice(allowed, min(found[gene].size, allowed.size), replace=False)).astype(np.intp)
    parts = {name: list(getattr(graph, name)) for name in ("signs", "strengths", "steepness")}
    kept = {name: [each[: own.size] for each, own in zip(values, found, strict=True)] for name, values in parts.items()}
    return Graph(found, kept["signs"], kept["strengths"], kept["steepness"], graph.unmeasured, graph.loadings, limit)
