"""regulon_recovery: do a gene's knock-out and derivative point to the targets that signed regulons give it?

Knock-out edges: how the mean output moves when the gene is silenced. Jacobian edges: the derivative of the mean output
by the gene, at the mean cell. Both are read beside what other genes of like expression do to the same targets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.batching import BLOCK, chunked
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.regulons import Regulons, read_regulon_files
from pertprobe.files import write_table
from pertprobe.probes import silenced_genes
from pertprobe.probes.base import Drawing, MeasureInputs, TestInputs, World, averaged
from pertprobe.probes.knockout_questions import DECILES, against_partners, coexpression_profiles, expression_groups
from pertprobe.probes.knockout_worlds import DrawnKnockouts, drawn_knockouts
from pertprobe.probes.questions import NOTHING, Paired, Question, Said
from pertprobe.probes.silenced_genes import units
from pertprobe.probes.work import Sizes, Work
from pertprobe.roles import COEXPRESSION, FITTED, OBSERVED, REDRAWN, SUBJECT
from pertprobe.statistics.matched import PairedTest
from pertprobe.statistics.recovery import (
    average_precision,
    early_precision_ratio,
    pooled_early_precision,
    sign_agreement,
)

if TYPE_CHECKING:
    from pertprobe.models.base import Model
    from pertprobe.plots import DrawInputs, Drawn

__all__ = ["units"]

DIFFERENTIABLE = frozenset({"stages", "gradient", "set_function"})
"""What Jacobian edges need beside: a model without it is asked by its knock-out edges alone."""
AUPRC = "auprc"
MEASURES = (AUPRC, "early_precision", "sign")
JACOBIAN = "_jacobian"
"""End of the names of statistics of Jacobian edges; the others are of knock-out edges."""
ALIKE = 5
"""Regulators of like expression among which partners are drawn, at least."""
TARGETS = (4, 16)
"""Fewest and most known targets of a regulator of a null world."""
ANSWER = 1.45
"""What moves a regulator's AUPRC there by one sd of all others, in standard errors of its targets' mean: measured."""
WEAKEST = 0.25
"""An entry of a planted graph counts as an edge from this share of a mean edge on; its weak entries are far below."""


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return what each gene does to the outputs [set, perturbation, gene]; the `perturbation` axis holds the genes.

    shift: of the mean output when the gene is silenced in every cell. jacobian, of the model itself and of planted
    ones: the total derivative of the mean output by the gene at the mean cell, under the same perturbation; for set
    functions with a gradient. graph [perturbation, gene], of planted models: the signs of the edges that were planted.
    """
    model, copy = inputs.model, inputs.role in REDRAWN
    asked = replace(inputs, cells=inputs.cells_measured)
    found = silenced_genes.measure(asked, names).astype(np.float32)
    found = found.assign_coords(set=np.arange(asked.cells.n_sets)).reindex(set=np.arange(inputs.cells.n_sets))
    if not copy and model.capabilities >= DIFFERENTIABLE:
        found["jacobian"] = found["shift"].dims, _jacobian(inputs, names)
    if (graph := model.card.get("graph")) is not None:
        found["graph"] = ("perturbation", "gene"), graph[[model.genes.index(name) for name in names]]
    return found


def work(sizes: Sizes) -> Work:
    """Return a pass for every gene, and a direction at the mean cell, which untrained copies are not asked."""
    total, copy = sizes.few * sizes.silenced, sizes.role in REDRAWN
    kept = total * sizes.outputs * (1 if copy else 2)
    return Work(passes=total + sizes.few, at_mean=0 if copy else total, kept=kept)


def _jacobian(inputs: MeasureInputs, names: Sequence[str]) -> np.ndarray:
    """Return the derivative of every output by each gene [n_sets, genes, G_out], in blocks that no shard changes."""
    import torch  # tests do without it

    from pertprobe.interpret.jacobian import panel_jacobian, place

    model, genes = inputs.model, [inputs.model.genes.index(name) for name in names]
    code = model.encode_perturbations([inputs.perturbation(inputs.settings["perturbation"])])
    point, outputs = place(model, inputs.cells, inputs.settings, inputs.role).point, range(len(model.output_genes))
    memory = {"memory_gb": inputs.memory_gb}
    found = [panel_jacobian(model, code, point, outputs, block, **memory).values[0] for block in chunked(genes, BLOCK)]
    return torch.cat(found, dim=-1).mT.detach().cpu().numpy().astype(np.float32)


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the planted models, each knowing the graph of the mechanism: its edges are the regulons they are asked.

    The mechanism has these edges, the lookup has them between other genes, co-variation has its own.
    """
    from pertprobe.models.planted.materials import EDGES, GRAPH_SCALE

    linear = models["planted"].parts.linear.numpy().astype(np.float64)
    identity = np.equal.outer(models["planted"].genes, models["planted"].output_genes)
    added = linear - identity
    mean_edge = GRAPH_SCALE / np.sqrt(min(EDGES, len(added) - 1))
    graph = (np.sign(added) * (np.abs(added) > WEAKEST * mean_edge)).astype(np.int8)
    for kind in ("planted", "lookup", "covariation"):
        models[kind].card["graph"] = graph
    return dict(models)


@dataclass(frozen=True)
class Edges:
    """What genes are said to do to the outputs, in one way of measuring it."""

    profiles: pd.DataFrame
    """Signed, positive = activation [gene, output]."""
    ending: str = ""
    """Of the statistics' names."""
    role: str = SUBJECT
    """Who says so."""


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Do a program's regulators find their own targets better than genes of like expression find them?"""
    beside = _observed_edges(inputs) if inputs.identity.get("role", SUBJECT) == SUBJECT else ()
    sources = [*_measured_edges(inputs), *beside]
    for regulons in _regulon_sets(inputs):
        for edges in sources:
            asked = regulon_edges(inputs, regulons, edges)
            for measure_name in MEASURES:
                yield _recovery(inputs, edges, measure_name, asked)
                if len(asked.regulators) >= inputs.min_genes:
                    yield replace(_recovery(inputs, edges, measure_name, asked), together=True)


def _observed_edges(inputs: TestInputs) -> Iterator[Edges]:
    """Yield the edges of observed responses to a regulator's knock-down, and of co-expression in control cells."""
    if (observed := inputs.subject.observed) is None:
        return
    genes = inputs.subject.measurement.perturbation.values
    seen = observed["delta_y"].astype(np.float64).sortby("perturbation")
    yield Edges(-seen.sel(perturbation=np.isin(seen.perturbation.values, genes)).to_pandas(), role=OBSERVED)
    if "correlation" in observed:
        profiles = coexpression_profiles(observed, genes).to_pandas()
        yield from (Edges(profiles, ending, COEXPRESSION) for ending in ("", JACOBIAN))


def _regulon_sets(inputs: TestInputs) -> list[Regulons]:
    """Return the regulons of the config; of planted models the edges of their graph, under the same names."""
    found = read_regulon_files(inputs.settings["regulons"])
    measurement = inputs.subject.measurement
    if "graph" not in measurement or inputs.identity.get("role") in FITTED:
        return list(found.values())
    graph = averaged(measurement, "graph").to_pandas().stack()
    edges = graph[graph != 0].rename("sign").reset_index().set_axis(["source", "target", "sign"], axis=1)
    edges = edges[edges.source != edges.target]
    return [_planted(each, edges, measurement, inputs.settings["min_targets"]) for each in found.values()]


def _planted(given: Regulons, edges: pd.DataFrame, measurement: xr.Dataset, min_targets: int) -> Regulons:
    """Return the planted edges of the regulators that the given set can ask: the control has the set's own size."""
    genes, outputs = (measurement[axis].values for axis in ("perturbation", "gene"))
    enough = genes[given.matrix(genes, outputs)[0].sum(axis=1) >= min_targets]
    return Regulons(given.name, edges[edges.source.isin(enough)], ("edges of the planted graph",))


def _measured_edges(inputs: TestInputs) -> list[Edges]:
    """Return knock-out edges, and Jacobian edges where there are any: silencing an activator lowers its targets."""
    measurement = inputs.subject.measurement
    found = [Edges(-averaged(measurement, "shift").to_pandas(), "")]
    if "jacobian" in measurement and measurement["jacobian"].notnull().any():
        found.append(Edges(averaged(measurement, "jacobian").to_pandas(), JACOBIAN))
    return found


@dataclass(frozen=True)
class RegulonEdges:
    """One set of regulons, as far as it can be asked."""

    name: str
    """Of the set."""
    regulators: np.ndarray
    """Regulators with enough known targets among the candidates, sorted."""
    known: np.ndarray
    """Their targets in the universe, bool [n, U]."""
    signs: np.ndarray
    """Signs of these [n, U]."""
    profiles: np.ndarray
    """What each does to the universe [n, U], signed."""
    own: np.ndarray
    """Place of each in the universe [n], -1 where it is not in it."""
    groups: np.ndarray
    """Group of like expression of each [n]."""
    note: str


def regulon_edges(inputs: TestInputs, regulons: Regulons, edges: Edges) -> RegulonEdges:
    """Return what can be asked: measured regulators with `min_targets` known targets, and the universe.

    The universe are the measured outputs that any regulator of the set has as its target (`universe: targets`), since
    genes that nobody studied are no known negatives, or all of them (`universe: genes`).
    """
    outputs = np.array(edges.profiles.columns)
    if inputs.settings["universe"] == "targets":
        outputs = outputs[np.isin(outputs, regulons.signs.target.unique())]
    genes = np.array(sorted(edges.profiles.index))
    known, signs = regulons.matrix(genes, outputs)
    min_targets = inputs.settings["min_targets"]
    enough = known.sum(axis=1) >= min_targets
    kept, few = genes[enough], int((known.any(axis=1) & ~enough).sum())
    unmeasured = int((~np.isin(regulons.signs.source.unique(), genes)).sum())
    silent = f"{unmeasured} regulators not silenced" if unmeasured else ""
    left_out = f"{few} with fewer than {min_targets} measured targets left out" if few else ""
    note = evidence.joined(f"{len(outputs)} candidate targets", silent, left_out, *regulons.notes)
    profiles = edges.profiles.loc[kept, outputs].to_numpy(dtype=np.float64)
    own, groups = pd.Index(outputs).get_indexer(kept), groups_of(inputs.cells, kept)
    return RegulonEdges(regulons.name, kept, known[enough], signs[enough], profiles, own, groups, note)


def groups_of(cells: CellSets, genes: Sequence[str]) -> np.ndarray:
    """Return the group of mean expression of each gene: deciles, or fewer groups so that each has ALIKE genes."""
    return expression_groups(cells, genes, int(np.clip(len(genes) // ALIKE, 1, DECILES)))


def _recovery(inputs: TestInputs, edges: Edges, measure_name: str, asked: RegulonEdges) -> Paired:
    """Return whether regulators find their own targets better than their partners do, by one measure."""
    statistic, name = f"{measure_name}{edges.ending}", asked.name
    matrix = cache(partial(_matrix, measure_name, asked))

    def usable() -> np.ndarray:
        """Return which regulators have a number."""
        return np.isfinite(np.diagonal(matrix())) if len(asked.regulators) else np.zeros(0, dtype=bool)

    def test(_: str, found: np.ndarray | None, m: int, random: np.random.Generator) -> tuple[PairedTest, np.ndarray]:
        """Test the regulators in `found`."""
        return against_partners(matrix(), asked.groups, m, random, found, usable())

    who = {"role": edges.role, "names": asked.regulators, "unit": "gene", "called": "regulators", "panel": name}
    words = {
        "fewest": "regulators with a number and a partner",
        "constant": "regulators without a number",
        "alone": "without a partner of like expression",
    }
    enough = {"few": statistic == AUPRC, "fewest_together": inputs.min_genes}
    how = {"test": test, "draws": lambda program: (statistic, name, program)}
    how |= {"background": lambda _: int(usable().sum()), "published": partial(_published, measure_name, asked)}
    notes = {"notes": (asked.note,), "more": partial(_made_of, asked)}
    return Paired(statistic=statistic, **who, **words, **enough, **how, **notes)


def _matrix(measure_name: str, asked: RegulonEdges) -> np.ndarray:
    """Return the number [n, n] of every regulator's targets under every gene's profile."""
    if measure_name == "sign":
        return sign_agreement(asked.signs, asked.profiles, asked.own)
    score = {AUPRC: average_precision, "early_precision": early_precision_ratio}[measure_name]
    return score(asked.known, np.abs(asked.profiles), asked.own)


def _published(measure_name: str, asked: RegulonEdges, result: PairedTest) -> Said:
    """Return the early-precision ratio over all edges of the regulators that were used, and its p; of signs nothing."""
    if measure_name == "sign":
        return NOTHING
    chosen = result.genes
    return pooled_early_precision(asked.known[chosen], np.abs(asked.profiles[chosen]), asked.own[chosen])


def _made_of(asked: RegulonEdges, result: PairedTest) -> list[str]:
    """Say what the difference is made of."""
    density = asked.known[result.genes].mean() if len(result.genes) else np.nan
    return [f"own {result.matched:.3g}, partners {result.partners:.3g}, density {density:.2g}"]


def null_world(draw: Drawing) -> World:
    """Draw knock-outs that share one profile, and regulons whose targets are what answers to any of them.

    Of members the targets answer by so much more that AUPRC is d sd above that of all others.
    """
    drawn = drawn_knockouts(draw._replace(members=()))
    known, signs = _drawn_regulons(draw, drawn)
    moved = np.zeros(drawn.ours.shape)
    chosen = list(draw.members)
    moved[chosen] = (ANSWER * draw.d / np.sqrt(known.sum(axis=1, keepdims=True)) * known * signs)[chosen]
    subject = drawn.subject(shift=-(drawn.ours + moved))
    regulator, target = np.nonzero(known)
    outputs = subject.measurement.gene.values
    table = {"source": drawn.expression.index[regulator], "target": outputs[target], "sign": signs[target]}
    path = draw.folder / "regulons.tsv"
    write_table(pd.DataFrame(table), path)
    given = {"subject": subject, "cells": drawn.cells, "settings": {"regulons": {"drawn": str(path)}}}
    return World(drawn.expression, lambda _: given)


def _drawn_regulons(draw: Drawing, drawn: DrawnKnockouts) -> tuple[np.ndarray, np.ndarray]:
    """Return TARGETS of each gene [genes, outputs], drawn by the square of what all share, and its signs [outputs]."""
    shared = drawn.ours[-draw.units // 10 :].mean(axis=0)
    known = np.zeros(drawn.ours.shape, dtype=bool)
    for row, n in zip(known, draw.rng.integers(*TARGETS, size=draw.units), strict=True):
        row[draw.rng.choice(len(row), n, replace=False, p=shared**2 / (shared**2).sum())] = True
    return known, np.sign(shared).astype(int)


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw how much better regulators find their targets than their partners do, knock-out and Jacobian edges."""
    from pertprobe.probes import regulon_recovery_figure

    return regulon_recovery_figure.draw(inputs)
