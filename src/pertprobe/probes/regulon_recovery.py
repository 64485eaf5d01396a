"""regulon_recovery: do a gene's knock-out and derivative point to the targets that signed regulons give it?

Knock-out edges: how the mean output moves when the gene is silenced. Jacobian edges: the derivative of the mean output
by the gene, at the mean cell. Both are read beside what other genes of like expression do to the same targets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.probes import knockout
from pertprobe.probes.base import MeasureInputs, TestInputs, averaged, each_program, first_sets
from pertprobe.probes.knockout import coexpression_profiles, units
from pertprobe.regulons import Regulons, read_regulon_files
from pertprobe.roles import COEXPRESSION, OBSERVED, REDRAWN
from pertprobe.sharding import BLOCK, cut
from pertprobe.statistics.intervals import bootstrap_mean
from pertprobe.statistics.paired import PairedTest, paired_profile_test
from pertprobe.statistics.recovery import (
    average_precision,
    early_precision_ratio,
    pooled_early_precision,
    sign_agreement,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs
    from pertprobe.models.base import Model

__all__ = ["units"]

Row = dict[str, Any]

DIFFERENTIABLE = frozenset({"stages", "gradient", "set_function"})
"""What Jacobian edges need beside: a model without it is asked by its knock-out edges alone."""
CONTROLLED = "auprc"
"""The statistic in which re-drawn copies and planted models are compared with the model."""
MEASURES = ("auprc", "early_precision", "sign")
JACOBIAN = "_jacobian"
"""End of the names of statistics of Jacobian edges; the others are of knock-out edges."""
COPY_SETS = 1
"""Cell sets that untrained copies are asked on: of them only the mean of a null and the effect are."""
ALIKE = 5
"""Regulators of like expression among which partners are drawn, at least."""
DECILES = 10
WEAKEST = 0.25
"""An entry of a planted graph counts as an edge from this share of a mean edge on; its weak entries are far below."""


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return what each gene does to the outputs [set, perturbation, gene]; the `perturbation` axis holds the genes.

    shift: of the mean output when the gene is silenced in every cell. jacobian, of the model itself and of planted
    ones: the total derivative of the mean output by the gene at the mean cell, under the same perturbation; for set
    functions with a gradient. graph [perturbation, gene], of planted models: the signs of the edges that were planted.
    """
    model, copy = inputs.model, inputs.role in REDRAWN
    asked = replace(inputs, cells=first_sets(inputs.cells, COPY_SETS)) if copy else inputs
    found = knockout.measure(asked, names).astype(np.float32)
    found = found.assign_coords(set=np.arange(asked.cells.n_sets)).reindex(set=np.arange(inputs.cells.n_sets))
    if not copy and model.capabilities >= DIFFERENTIABLE:
        found["jacobian"] = found["shift"].dims, _jacobian(inputs, names)
    if (graph := model.card.get("graph")) is not None:
        found["graph"] = ("perturbation", "gene"), graph[[model.genes.index(name) for name in names]]
    return found


def _jacobian(inputs: MeasureInputs, names: Sequence[str]) -> np.ndarray:
    """Return the derivative of every output by each gene [n_sets, genes, G_out], in blocks that no shard changes."""
    import torch  # tests do without it

    from pertprobe.jacobian import panel_jacobian
    from pertprobe.sketched import place

    model, genes = inputs.model, [inputs.model.genes.index(name) for name in names]
    code = model.encode_perturbations([knockout.perturbation_of(inputs)])
    point, outputs = place(model, inputs.cells, inputs.settings, inputs.role).point, range(len(model.output_genes))
    memory = {"memory_gb": inputs.memory_gb}
    found = [panel_jacobian(model, code, point, outputs, block, **memory).values[0] for block in cut(genes, BLOCK)]
    return torch.cat(found, dim=-1).mT.detach().cpu().numpy().astype(np.float32)


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the planted models, each knowing the graph of the mechanism: its edges are the regulons they are asked.

    The mechanism has these edges, the lookup has them between other genes, co-variation has its own.
    """
    from pertprobe.models.planting import EDGES, GRAPH_SCALE

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
    ending: str
    """Of the statistics' names."""


def test(inputs: TestInputs) -> Iterator[Row]:
    """Do a program's regulators find their own targets better than genes of like expression find them?"""
    if inputs.reference is not None:
        return
    for regulons in _regulon_sets(inputs):
        for edges in _measured_edges(inputs):
            yield from _all_rows(inputs, regulons, edges, MEASURES)


def controlled(inputs: TestInputs) -> Iterator[Row]:
    """Yield the average precision of knock-out edges: asked of copies and planted models too."""
    if inputs.reference is not None:
        return
    for regulons in _regulon_sets(inputs):
        yield from _all_rows(inputs, regulons, _measured_edges(inputs)[0], (CONTROLLED,))


def references(inputs: TestInputs) -> Iterator[Row]:
    """Yield the same of observed responses to a regulator's knock-down, and of co-expression in control cells."""
    observed = inputs.subject.observed
    if inputs.reference is not None or observed is None:
        return
    genes = inputs.subject.measurement.perturbation.values
    seen = observed["delta_y"].astype(np.float64).sortby("perturbation")
    known = -seen.sel(perturbation=np.isin(seen.perturbation.values, genes)).to_pandas()
    rivals = [(OBSERVED, Edges(known, ""))]
    if "correlation" in observed:
        profiles = coexpression_profiles(observed, genes.tolist()).to_pandas()
        rivals += [(COEXPRESSION, Edges(profiles, ending)) for ending in ("", JACOBIAN)]
    for regulons in _regulon_sets(inputs):
        for role, edges in rivals:
            yield from _all_rows(inputs.as_role(role), regulons, edges, MEASURES)


def _regulon_sets(inputs: TestInputs) -> list[Regulons]:
    """Return the regulons of the config; of planted models the edges of their graph, under the same names."""
    found = read_regulon_files(inputs.settings["regulons"])
    measurement = inputs.subject.measurement
    if "graph" not in measurement:
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
class Asked:
    """One set of regulons, as far as it can be asked."""

    regulons: Regulons
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


def asked_of(inputs: TestInputs, regulons: Regulons, edges: Edges) -> Asked:
    """Return what can be asked: measured regulators with `min_targets` known targets, and the universe.

    The universe are the measured outputs that any regulator of the set has as its target (`universe: targets`), since
    genes that nobody studied are no known negatives, or all of them (`universe: genes`).
    """
    outputs = np.array(edges.profiles.columns)
    if inputs.settings["universe"] == "targets":
        outputs = outputs[np.isin(outputs, regulons.signs.target.unique())]
    genes = np.array(sorted(edges.profiles.index))
    known, signs = regulons.matrix(genes, outputs)
    enough = known.sum(axis=1) >= inputs.settings["min_targets"]
    kept, few = genes[enough], int((known.any(axis=1) & ~enough).sum())
    unmeasured = int((~np.isin(regulons.signs.source.unique(), genes)).sum())
    places = {name: column for column, name in enumerate(outputs)}
    notes = [
        f"{unmeasured} regulators not silenced" if unmeasured else "",
        f"{few} with fewer than {inputs.settings['min_targets']} measured targets left out" if few else "",
        *regulons.notes,
    ]
    return Asked(
        regulons,
        kept,
        known[enough],
        signs[enough],
        edges.profiles.loc[kept, outputs].to_numpy(dtype=np.float64),
        np.array([places.get(name, -1) for name in kept], dtype=np.intp),
        expression_groups(inputs, kept),
        evidence.joined(f"{len(outputs)} candidate targets", *notes),
    )


def expression_groups(inputs: TestInputs, genes: Sequence[str]) -> np.ndarray:
    """Return the group of mean expression of each gene: deciles, or fewer groups so that each has ALIKE genes."""
    if not len(genes):
        return np.zeros(0, dtype=np.intp)
    expression = inputs.cells.for_genes(tuple(genes)).values.mean(axis=(0, 1), dtype=np.float64)
    ranks = pd.Series(expression).rank(method="first").to_numpy() - 1
    return (ranks * np.clip(len(genes) // ALIKE, 1, DECILES) // len(genes)).astype(np.intp)


def _all_rows(inputs: TestInputs, regulons: Regulons, edges: Edges, measures: Sequence[str]) -> Iterator[Row]:
    """Yield rows of one set of regulons: every program, and all regulators together."""
    asked = asked_of(inputs, regulons, edges)
    for measure_name in measures:
        who = {"statistic": f"{measure_name}{edges.ending}", "panel": regulons.name, "unit": "gene"}
        r = _matrix(measure_name, asked)
        for program, found, short in each_program(inputs, asked.regulators, inputs.min_genes, "regulators"):
            if not short:
                yield _row(inputs, asked, r, {**who, "program": program}, found)
            elif who["statistic"] == CONTROLLED:
                what = {**who, "program": program, "n": len(found), "n_background": len(asked.regulators)}
                yield evidence.not_evaluable(inputs.identity, evidence.joined(short, asked.note), **what)
        if len(asked.regulators) >= inputs.min_genes:
            yield _row(inputs, asked, r, {**who, "program": ""}, None)


def _matrix(measure_name: str, asked: Asked) -> np.ndarray:
    """Return the number [n, n] of every regulator's targets under every gene's profile."""
    if measure_name == "sign":
        return sign_agreement(asked.signs, asked.profiles, asked.own)
    score = {"auprc": average_precision, "early_precision": early_precision_ratio}[measure_name]
    return score(asked.known, np.abs(asked.profiles), asked.own)


def _row(inputs: TestInputs, asked: Asked, r: np.ndarray, who: Row, found: np.ndarray | None) -> Row:
    """Test r_ii of the regulators in `found` (None: of all) against r_ij of partners of like expression."""
    usable = np.isfinite(np.diagonal(r)) if len(r) else np.zeros(0, dtype=bool)
    random = inputs.random(who["statistic"], who["panel"], who["program"])
    result = paired_profile_test(r, asked.groups, inputs.permutations, random, members=found, usable=usable)
    who = {**who, "n": len(result.genes), "n_background": int(usable.sum())}
    notes = _notes(asked, result)
    if len(result.genes) < inputs.min_genes:
        short = f"{len(result.genes)} regulators with a number and a partner, {inputs.min_genes} needed"
        return evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
    values = r[result.genes, result.genes] - result.partners
    interval = bootstrap_mean(values, inputs.bootstrap, inputs.random("interval", *who.values()))
    columns = evidence.tested(result.test, *notes) | dict(zip(("ci_low", "ci_high"), interval, strict=True))
    said = (np.nan, np.nan)
    if not who["statistic"].startswith("sign"):
        chosen = result.genes
        said = pooled_early_precision(asked.known[chosen], np.abs(asked.profiles[chosen]), asked.own[chosen])
    return evidence.row(inputs.identity, **who, **columns, estimate_published=said[0], p_published=said[1])


def _notes(asked: Asked, result: PairedTest) -> list[str]:
    """Say what the difference is made of, and what was left out."""
    density = asked.known[result.genes].mean() if len(result.genes) else np.nan
    notes = [f"own {result.matched:.3g}, partners {result.partners:.3g}, density {density:.2g}", asked.note]
    if result.n_constant:
        notes.append(f"{result.n_constant} regulators without a number left out")
    if result.n_without_partner:
        notes.append(f"{result.n_without_partner} without a partner of like expression left out")
    return notes


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw how much better regulators find their targets than their partners do, knock-out and Jacobian edges."""
    from pertprobe.figures import NOTHING_TESTED, bars_with_null, nothing_to_draw, null_legend, panels

    rows = inputs.evidence[inputs.evidence.evaluable & (inputs.evidence.reference == "")]
    main = rows[rows.statistic == CONTROLLED]
    asked = [(model, name) for name in sorted(set(main.panel)) for model in inputs.question["models"]
             if len(main[(main.model == model) & (main.panel == name)])]  # fmt: skip
    if not asked:
        return nothing_to_draw(NOTHING_TESTED)
    shown = [main[(main.model == model) & (main.panel == name)] for model, name in asked]
    shown = [each.assign(program=each.program.replace("", "all regulators")) for each in shown]
    figure, axes = panels(len(asked), 4.6, 1.5 + 0.26 * max(len(each) for each in shown))
    for each, (model, name), mine in zip(axes, asked, shown, strict=True):
        bars_with_null(each, mine, "AUPRC less that of partners, knock-out edges")
        _jacobian_marks(each, mine, rows[(rows.model == model) & (rows.panel == name)])
        each.set_title(f"{model}, {name}")
    null_legend(figure)
    return figure


def _jacobian_marks(axes: "Axes", rows: pd.DataFrame, every: pd.DataFrame) -> None:
    """Mark, on each program's line, what Jacobian edges say."""
    order = rows.sort_values("effect", kind="stable").program.replace("all regulators", "").tolist()
    found = every[every.statistic == f"{CONTROLLED}{JACOBIAN}"].set_index("program").estimate.reindex(order)
    if found.notna().any():
        axes.scatter(found, np.arange(len(order)), marker="D", s=16, color="#8a5fb0", label="Jacobian edges", zorder=4)
        axes.legend(loc="lower right", fontsize=6)
