"""A screen of a network: control cells and knock-downs, counted, in contexts whose graphs differ by a share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from pertprobe.data.networks.graph import Graph, draw_graph, rewired
from pertprobe.data.networks.mechanisms import Mechanism, steady
from pertprobe.statistics.arrays import Floats, Integers

LEFT = 0.15
"""Share of its level that a knock-down leaves a gene."""
TARGET_SUM = 1e4
CONTROL = "non-targeting"


@dataclass(frozen=True)
class Design:
    """How large a screen is."""

    genes: int = 300
    regulators: int = 80
    unmeasured: int = 20
    knockdowns: int = 60
    cells: int = 60
    """Of each knock-down in each context."""
    controls: int = 1500
    """Control cells of each context."""
    depth: float = 4000.0
    """Counts of a cell, on average."""
    batches: int = 4
    rewired: float = 0.0
    """Share of the genes that have other regulators in the second context."""
    contexts: Sequence[str] = field(default=("line_a",))


@dataclass(frozen=True, eq=False)
class Screen:
    """Cells whose truth is known."""

    values: Floats
    """log1p of counts per ten thousand [cell, gene]."""
    perturbations: np.ndarray
    """Of each cell: the name of the gene that is knocked down, or the control's."""
    contexts: np.ndarray
    batches: np.ndarray
    genes: tuple[str, ...]
    """Measured genes."""
    knocked: tuple[str, ...]
    """Those that are knocked down."""
    graphs: dict[str, Graph]
    """Of each context."""
    truth: dict[str, Floats]
    """Context -> how far the mean of each measured gene moves where a gene is silenced wholly [knocked, gene]."""

    def mean_shifts(self, context: str, half: int | None = None) -> Floats:
        """Return the mean of each knock-down's cells less that of control cells [knocked, gene], whole or of a half."""
        here = self.contexts == context
        here &= np.arange(len(here)) % 2 == half if half is not None else True
        means = [self.values[here & (self.perturbations == name)].mean(axis=0) for name in (CONTROL, *self.knocked)]
        return np.stack(means[1:]) - means[0]


def simulate_screen(mechanism: Mechanism, design: Design, rng: Generator) -> Screen:
    """Draw a graph and the cells of a screen; knocked down are measured regulators that act on two genes or more."""
    first = draw_graph(rng, design.genes, design.regulators, design.unmeasured)
    graphs = {design.contexts[0]: first}
    graphs |= {context: rewired(first, design.rewired, rng) for context in design.contexts[1:]}
    able = [g for g in range(first.regulators) if not first.unmeasured[g] and len(first.downstream(g)) > 1]
    genes = np.sort(rng.permutation(able)[: design.knockdowns])
    usual, spread = np.exp(rng.normal(0, 1.1, len(first.parents))), rng.uniform(0.15, 0.5, len(first.parents))
    shifts = rng.normal(0, 0.1, (design.batches, len(first.parents)))
    lab = _Laboratory(mechanism, usual, spread, shifts, design.depth)
    names = np.array([f"G{gene:04d}" for gene in range(len(first.parents))])
    parts = []
    for context, graph in graphs.items():
        for gene, number in [(None, design.controls), *((gene, design.cells) for gene in genes)]:
            values, batches = lab.cells(graph, number, rng, gene, LEFT)
            parts.append((values, [CONTROL if gene is None else names[gene]] * number, [context] * number, batches))
    values, perturbations, contexts, batches = (np.concatenate(each) for each in zip(*parts, strict=True))
    truth = {context: lab.truth(graph, genes, rng) for context, graph in graphs.items()}
    measured = tuple(names[first.measured].tolist())
    return Screen(values, perturbations, contexts, batches, measured, tuple(names[genes].tolist()), graphs, truth)


@dataclass(frozen=True, eq=False)
class _Laboratory:
    """What is the same for all cells of a screen."""

    mechanism: Mechanism
    usual: Floats
    """Level of each gene in an undisturbed cell, lognormal over genes."""
    spread: Floats
    """Standard deviation of each gene's own factor, in logarithms."""
    shifts: Floats
    """What each batch does to each gene, in logarithms."""
    depth: float

    def cells(
        self, graph: Graph, number: int, rng: Generator, knocked: int | None = None, left: float = LEFT
    ) -> tuple[Floats, Integers]:
        """Return the values of so many cells over measured genes, and their batches."""
        along = rng.normal(size=(number, len(graph.loadings)))
        own = np.exp(along @ graph.loadings + rng.normal(size=(number, self.usual.size)) * self.spread)
        edit = None if knocked is None else lambda gene, level: level * left if gene == knocked else level
        levels = steady(graph, self.mechanism, own, edit) * self.usual
        batches = rng.integers(len(self.shifts), size=number)
        seen = (levels * np.exp(self.shifts[batches]))[:, ~graph.unmeasured]
        depths = self.depth * np.exp(rng.normal(0, 0.3, number))
        counts = rng.poisson(seen / seen.sum(axis=1, keepdims=True) * depths[:, None])
        return np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * TARGET_SUM), batches

    def truth(self, graph: Graph, genes: Integers, rng: Generator, number: int = 500) -> Floats:
        """Return how far the mean of each measured gene moves where a gene is silenced wholly, in as many cells."""
        seed = int(rng.integers(2**62))
        means = [self.cells(graph, number, np.random.default_rng(seed), gene, 0.0)[0].mean(axis=0) for gene in genes]
        return np.stack(means) - self.cells(graph, number, np.random.default_rng(seed))[0].mean(axis=0)
