"""Perturb-seq whose truth is known: a planted regulatory graph, planted programs, counts as noisy as real ones.

Genes obey a linear structural model in log expression, x = T (e + d), T = 1 + W + W^2 + ... with W the signed sparse
graph of the context. Natural variation e runs along the programs in every cell, a knock-down d is a fall of one gene.
The members of a *coherent* program act on the same regulators, which act on the program's targets; the members of a
*decoy* vary together in control cells just as much, yet each acts on genes of its own: co-variation without mechanism.

Names and roles depend on the sizes alone, never on the seed, so that a config can name a panel before the run: see
`layout`. For 300 genes, 80 perturbations, 8 programs: program_1 has the members g001-g007, the regulators g081-g083 and
the targets g084-g093; program_2 g008-g014, g094-g096, g097-g106; and so on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from pertprobe.errors import PertprobeError
from pertprobe.files import atomic, write_table
from pertprobe.seeding import generator

CONTROL = "non-targeting"
REGULATORS = 3
"""Regulators of a program."""
STEPS = 4
"""Edges a signal passes before it has faded."""
INDIVIDUAL = 12
"""Genes of its own that a knock-down outside a coherent program acts on: about as much in all as a program does."""
DOSE = (4.0, 1.2)
"""Beta distribution of a cell's dose: most cells feel most of their knock-down, a few hardly any."""
HIGHLY_VARIABLE = 0.8
"""Share of genes in X_hvg."""

Kind = Literal["shared", "context_specific", "decoy"]


class Program(NamedTuple):
    """What one program is made of; the same for every seed."""

    members: tuple[str, ...]
    """Genes that are knocked down."""
    regulators: tuple[str, ...]
    """Measured genes that the members of a coherent program act on."""
    targets: tuple[str, ...]
    """Measured genes that the regulators act on."""
    kind: Kind
    home: int
    """Index of the only context in which a context-specific program is coherent."""

    def coherent(self, context: int) -> bool:
        """Do the members share an effect in this context?"""
        return self.kind == "shared" or (self.kind == "context_specific" and context == self.home)

    def planted(self, context: int) -> str:
        """Return what is planted in this context: the kind, or absent."""
        return "absent" if self.kind == "context_specific" and context != self.home else self.kind


@dataclass(frozen=True)
class Layout:
    """Names and roles of genes, fixed by the sizes."""

    genes: tuple[str, ...]
    perturbations: tuple[str, ...]
    """The genes that are knocked down, the first ones; those of no program come last."""
    programs: dict[str, Program]

    def index(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the positions of genes."""
        return np.searchsorted(self.genes, names)


@dataclass(frozen=True)
class Simulation:
    """Cells and the truth behind them."""

    cells: anndata.AnnData
    """X = log1p(counts / total x median total); layers["counts"]; obs gene, cell_line, batch; obsm["X_hvg"]."""
    programs: dict[str, Program]
    truth: pd.DataFrame
    """program, context, planted (shared, context_specific, absent, decoy), coherent."""
    panels: pd.DataFrame
    """program, gene, role (member, regulator, target)."""
    regulons: pd.DataFrame
    """source, target, sign: the edges of the graph that every context has."""
    effects: pd.DataFrame
    """Noise-free change of log expression [(context, perturbation) x gene] at the mean dose."""


def layout(genes: int, perturbations: int, programs: int, contexts: int = 2) -> Layout:
    """Give every gene its name and role.

    The first `perturbations` genes are knocked down, 70 % of them in programs; half of the other genes are regulators
    and targets. A quarter of the programs (the last) are decoys, a quarter before them belong to one context each.

    Raises:
        PertprobeError: if a program would have fewer than 3 members or 3 targets, or panels exceed the variable genes.
    """
    n_members = int(0.7 * perturbations / programs)
    n_measured = (genes - perturbations) // (2 * programs)
    if n_members < 3 or n_measured < REGULATORS + 3 or perturbations > 0.6 * genes:
        raise PertprobeError(
            f"simulate: {genes} genes, {perturbations} perturbations, {programs} programs leave {n_members} members "
            f"and {n_measured - REGULATORS} targets a program (at least 3 each; perturbations at most 60 % of genes)."
        )
    names = tuple(f"g{number:0{max(3, len(str(genes)))}d}" for number in range(1, genes + 1))

    def program(number: int) -> Program:
        """Return the program of this number."""
        measured = names[perturbations + number * n_measured :][:n_measured]
        quarter, later = programs // 4, number - (programs - 2 * (programs // 4))
        kind: Kind = "shared" if later < 0 else "context_specific" if later < quarter else "decoy"
        members = names[number * n_members :][:n_members]
        return Program(members, measured[:REGULATORS], measured[REGULATORS:], kind, max(later, 0) % contexts)

    return Layout(names, names[:perturbations], {f"program_{n + 1}": program(n) for n in range(programs)})


def simulate(
    *,
    genes: int = 300,
    perturbations: int = 80,
    programs: int = 8,
    seed: int,
    contexts: tuple[str, ...] = ("line_a", "line_b"),
    cells_per_perturbation: int = 80,
    control_cells: int = 600,
    batches: int = 3,
) -> Simulation:
    """Draw cells of every context under every knock-down (cell numbers are per context, batches nested in it).

    Raises:
        PertprobeError: if the sizes leave programs too small, see `layout`.
    """
    plan = layout(genes, perturbations, programs, len(contexts))
    genome = _genome(plan, generator(seed, "simulate"))
    labels = np.repeat([CONTROL, *plan.perturbations], [control_cells] + [cells_per_perturbation] * perturbations)
    counts, obs, effects = [], [], []
    for number, name in enumerate(contexts):
        rng = generator(seed, "simulate", name)
        context = _context(plan, number, genome, rng)
        batch = rng.integers(batches, size=len(labels))
        counts.append(_counts(plan, genome, context, labels, batch, rng))
        obs.append(pd.DataFrame({"gene": labels, "cell_line": name, "batch": [f"{name}_{b + 1}" for b in batch]}))
        mean_dose = np.full(perturbations, DOSE[0] / sum(DOSE))
        change = _response(genome, context, np.arange(perturbations), mean_dose)
        effects.append(pd.DataFrame(change, index=plan.perturbations, columns=plan.genes))
    cells = _annotated(plan, np.concatenate(counts), pd.concat(obs))
    tables = _truth(plan, contexts), _panels(plan), _regulons(plan, genome, len(contexts))
    changes = pd.concat(effects, keys=contexts, names=["context", "perturbation"])
    return Simulation(cells, plan.programs, *tables, changes)


def write_simulation(simulation: Simulation, directory: str | Path) -> None:
    """Write cells.h5ad, programs.gmt (members = knocked-down genes), truth, panels and regulons (.tsv), atomically."""
    directory = Path(directory)
    with atomic(directory / "cells.h5ad") as path:
        simulation.cells.write_h5ad(path)
    lines = ["\t".join((name, "planted", *program.members)) for name, program in simulation.programs.items()]
    with atomic(directory / "programs.gmt") as path:
        path.write_text("\n".join(lines) + "\n")
    for name in ("truth", "panels", "regulons"):
        write_table(getattr(simulation, name), directory / f"{name}.tsv")


class _Genome(NamedTuple):
    """What all contexts have in common; G genes, of which the first P are knocked down."""

    graph: np.ndarray
    """[G, G] effect of column on row, without the two that follow."""
    entry: np.ndarray
    """[G, G] edges from members to their program's regulators: a coherent program."""
    own: np.ndarray
    """[G, G] edges from members to genes of their own, in place of `entry` where a program is not coherent."""
    base: np.ndarray
    """[G] log mean counts."""
    potency: np.ndarray
    """[P] fall of the knocked gene in the eyes of the genes it acts on."""
    efficiency: np.ndarray
    """[P] share of the transcript that is lost at dose 1."""
    general: np.ndarray
    """[G] what every knock-down does, in proportion to its potency."""


class _Context(NamedTuple):
    base: np.ndarray
    """[G] log mean counts."""
    spread: np.ndarray
    """[G, G] = 1 + W + W^2 + ..."""
    loadings: np.ndarray
    """[programs, G] natural variation along programs."""
    potency: np.ndarray
    """[P] as the genome's, with a difference of the context's own."""


def _signed(rng: np.random.Generator, low: float, high: float, size: int) -> np.ndarray:
    return rng.uniform(low, high, size) * rng.choice([-1, 1], size)


def _edges(rng: np.random.Generator, sources: np.ndarray, into: np.ndarray, n: int, total: int) -> np.ndarray:
    """Return `n` signed edges out of every source [total, total]; sources share no gene as long as `into` suffices."""
    graph = np.zeros((total, total))
    free = rng.permuted(np.tile(into, (-(-n * len(sources) // len(into)), 1)), axis=1).ravel()
    for source, chosen in zip(sources, np.split(free[: n * len(sources)], len(sources)), strict=True):
        graph[chosen, source] = _signed(rng, 0.3, 0.8, n)
    return graph


def _genome(plan: Layout, rng: np.random.Generator) -> _Genome:
    total, knocked = len(plan.genes), len(plan.perturbations)
    others = np.arange(knocked, total)
    members = [plan.index(program.members) for program in plan.programs.values()]
    regulators = [plan.index(program.regulators) for program in plan.programs.values()]
    plain = np.setdiff1d(others, np.concatenate(regulators))
    unaffiliated = np.setdiff1d(np.arange(knocked), np.concatenate(members))
    graph = 0.3 * _edges(rng, others, plain, 1, total) + _edges(rng, np.arange(knocked), plain, 4, total)
    graph += _edges(rng, unaffiliated, plain, INDIVIDUAL, total)
    entry, own = np.zeros_like(graph), sum(_edges(rng, group, plain, INDIVIDUAL, total) for group in members)
    for program, into in zip(plan.programs.values(), regulators, strict=True):
        targets = plan.index(program.targets)
        signs = rng.choice([-1, 1, 1, 1], (len(targets), 1))
        graph[np.ix_(targets, into)] += signs * rng.uniform(0.15, 0.45, (len(targets), len(into)))
        strength = rng.uniform(0.4, 0.9, (len(into), len(program.members)))
        entry[np.ix_(into, plan.index(program.members))] = rng.choice([-1, 1]) * strength
    general = np.where(rng.random(total) < 0.15, _signed(rng, 0.05, 0.25, total), 0)
    base = rng.normal(1.0, 1.0, total)
    base[:knocked] = np.abs(base[:knocked] - 0.5) + 0.5  # a gene is knocked down only where it is expressed
    potency, efficiency = rng.lognormal(0.15, 0.45, knocked), rng.uniform(0.7, 0.95, knocked)
    return _Genome(graph, entry, own, base, potency, efficiency, general)


def _context(plan: Layout, number: int, genome: _Genome, rng: np.random.Generator) -> _Context:
    total, graph = len(plan.genes), genome.graph.copy()
    loadings = np.zeros((len(plan.programs), total))
    for loading, program in zip(loadings, plan.programs.values(), strict=True):
        members, measured = plan.index(program.members), plan.index(program.regulators + program.targets)
        graph[:, members] += (genome.entry if program.coherent(number) else genome.own)[:, members]
        loading[members] = rng.uniform(0.1, 0.3, len(members))
        if program.kind == "decoy":  # the others' measured genes vary with the members because they obey them
            loading[measured] = rng.uniform(0.2, 0.5, len(measured))
    graph *= rng.lognormal(0, 0.25, graph.shape)
    spread = sum(np.linalg.matrix_power(graph, power) for power in range(STEPS + 1))
    base = genome.base + rng.normal(0, 0.3, total)
    return _Context(base, spread, loadings, genome.potency * rng.lognormal(0, 0.15, len(plan.perturbations)))


def _response(genome: _Genome, context: _Context, knocked: np.ndarray, dose: np.ndarray) -> np.ndarray:
    """Return the change of log expression [n, G] of cells whose gene number `knocked` is down by `dose` [n]."""
    fall = dose * context.potency[knocked]
    change = -fall[:, None] * (context.spread[:, knocked].T + genome.general)
    change[np.arange(len(knocked)), knocked] = np.log1p(-genome.efficiency[knocked] * dose)
    return change


def _counts(
    plan: Layout, genome: _Genome, context: _Context, labels: np.ndarray, batch: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return counts [cells, G]: negative binomial (Gamma-Poisson) about each cell's mean, then dropout.

    Dropout is logistic in the log mean, as in Splatter (Zappia et al. 2017).
    """
    n, total = len(labels), len(plan.genes)
    along = rng.normal(size=(n, len(plan.programs))) @ context.loadings
    state = (along + rng.normal(0, 0.15, (n, total))) @ context.spread.T
    perturbed = np.flatnonzero(labels != CONTROL)
    knocked = plan.index(tuple(labels[perturbed]))
    state[perturbed] += _response(genome, context, knocked, rng.beta(*DOSE, len(perturbed)))
    state += rng.normal(0, 0.12, (batch.max() + 1, total))[batch]
    depth = rng.normal(0, 0.3, n) + rng.normal(0, 0.15, batch.max() + 1)[batch]
    mean = np.exp(np.clip(context.base + state + depth[:, None], None, 7))
    overdispersion = rng.lognormal(np.log(0.25), 0.3, total)
    counts = rng.poisson(rng.gamma(1 / overdispersion, mean * overdispersion))
    dropped = rng.random((n, total)) < 1 / (1 + np.exp(1.5 * (np.log(mean) + 0.5)))
    return np.where(dropped, 0, counts).astype(np.int32)


def _annotated(plan: Layout, counts: np.ndarray, obs: pd.DataFrame) -> anndata.AnnData:
    """Normalise and mark variable genes: all that have a role, so that panels hold for any seed, then the dispersed."""
    totals = counts.sum(axis=1, keepdims=True)
    X = np.log1p(counts / np.maximum(totals, 1) * np.median(totals)).astype(np.float32)
    obs = obs.set_axis([f"cell_{number:06d}" for number in range(len(obs))])
    role = set(plan.perturbations) | set(_panels(plan).gene)
    dispersion = counts.var(axis=0) / np.maximum(counts.mean(axis=0), 1e-9)
    rank = np.argsort(np.argsort(-np.where([gene in role for gene in plan.genes], np.inf, dispersion), kind="stable"))
    variable = rank < round(HIGHLY_VARIABLE * len(plan.genes))
    var = pd.DataFrame({"highly_variable": variable}, index=list(plan.genes))
    matrices = {"obsm": {"X_hvg": X[:, variable]}, "layers": {"counts": sparse.csr_matrix(counts)}}
    return anndata.AnnData(X, obs=obs.astype("category"), var=var, **matrices)


def _truth(plan: Layout, contexts: tuple[str, ...]) -> pd.DataFrame:
    rows = [
        (name, context, program.planted(number), program.coherent(number))
        for name, program in plan.programs.items()
        for number, context in enumerate(contexts)
    ]
    return pd.DataFrame(rows, columns=["program", "context", "planted", "coherent"])


def _panels(plan: Layout) -> pd.DataFrame:
    rows = [
        (name, gene, role)
        for name, program in plan.programs.items()
        for role, genes in zip(("member", "regulator", "target"), program[:3], strict=True)
        for gene in genes
    ]
    return pd.DataFrame(rows, columns=["program", "gene", "role"])


def _regulons(plan: Layout, genome: _Genome, contexts: int) -> pd.DataFrame:
    """Return the signed edges that every context has: of members those to their program's regulators, or to others."""
    graph = genome.graph.copy()
    for program in plan.programs.values():
        members = plan.index(program.members)
        coherent = [program.coherent(number) for number in range(contexts)]
        if len(set(coherent)) == 1:
            graph[:, members] += (genome.entry if coherent[0] else genome.own)[:, members]
    np.fill_diagonal(graph, 0)
    target, source = np.nonzero(graph)
    genes = np.array(plan.genes)
    edges = pd.DataFrame({"source": genes[source], "target": genes[target], "sign": np.sign(graph[target, source])})
    return edges.astype({"sign": int}).sort_values(["source", "target"], ignore_index=True)
