"""regulator_influence: do a panel's regulators move its targets in the model, more than genes of like expression do?

A mechanism whose derivative is the same under every perturbation strengthens nothing (targeted_jacobian), and yet holds
who acts on whom. Beside it stand the same ranks of co-expression and, where the config asks, of models of co-variation:
what the model has more than these is no co-variation.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.programs import Panel, Programs, read_panels
from pertprobe.probes import panels
from pertprobe.probes.base import Drawing, MeasureInputs, Subject, TestInputs, World, averaged, labelled
from pertprobe.probes.questions import Pool, Question, Score
from pertprobe.probes.work import Sizes, Work, directions
from pertprobe.probes.worlds import cells_of, drawn_subject
from pertprobe.roles import COEXPRESSION, OBSERVED
from pertprobe.seeding import generator
from pertprobe.statistics.null_worlds import SPREAD
from pertprobe.statistics.ranks import mid_ranks

if TYPE_CHECKING:
    from pertprobe.models.base import Model
    from pertprobe.models.planted.closed_form import PlantedModel
    from pertprobe.plots import DrawInputs, Drawn

PRIMARY = "influence_rank"
SIGNED = "signed"
TARGETS = 10
"""Targets of a panel of a null world."""
LOWERED, LOWERING = 1.0, 0.8
"""How far the derivatives of its signed ones lie below 0 on average, in their sd; share of signs that say so."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: the targets of all panels that the model has."""
    wanted = {name for panel in inputs.panels.values() for name in panel["targets"]}
    return sorted(wanted & set(inputs.model.output_genes))


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return how each input gene moves these targets under the control; the `perturbation` axis holds the targets.

    influence [set, perturbation, input_gene]: dY[target]/dX[gene], total; open [set, perturbation]: share of cells
    whose output for the target is not 0.
    """
    from pertprobe.interpret.jacobian import panel_jacobian, place  # torch, which tests do without

    model, n = inputs.model, len(inputs.model.genes)
    code = model.encode_perturbations([model.control])
    point, rows = place(model, inputs.cells, inputs.settings, inputs.role).point, map(model.output_genes.index, names)
    found = panel_jacobian(model, code, point, list(rows), range(n), memory_gb=inputs.memory_gb)
    values, opened = (each[0].detach().cpu().numpy() for each in (found.values, found.open))
    return _labelled(values, opened, names, list(model.genes))


def work(sizes: Sizes) -> Work:
    """Return one direction for each target of a panel."""
    return directions(sizes, sizes.targets)._replace(kept=sizes.sets * sizes.targets * (sizes.genes + 1))


def _labelled(influence: np.ndarray, opened: np.ndarray, targets: list[str], genes: list[str]) -> xr.Dataset:
    """Return the measurement of derivatives [set, target, gene] and shares of open cells [set, target]."""
    axes = ("set", "perturbation", "input_gene")
    variables = {"influence": (axes, influence), "open": (axes[:2], opened)}
    return labelled(variables, perturbation=targets, input_gene=genes)


def questions(inputs: TestInputs) -> Iterator[Question]:
    """Do a panel's regulators rank higher in what moves its targets than genes that are expressed alike?"""
    measurement = inputs.subject.measurement
    influence, opened = averaged(measurement, "influence").to_pandas(), averaged(measurement, "open").to_series()
    for panel in inputs.panels.values():
        rows = influence.loc[[name for name in panel.targets if opened.get(name, 0) > 0]]
        closed = [name for name in panel.targets if opened.get(name, 1) == 0]
        note = f"targets closed under the control left out: {', '.join(closed)}" if closed else ""
        yield _question(inputs, panel, rows, note)
        yield from _baselines(inputs, panel)
    yield panels.without_panel(inputs, PRIMARY, unit="gene")


def _baselines(inputs: TestInputs, panel: Panel) -> Iterator[Question]:
    """Yield the same of how targets answered to knock-downs, and of co-expression, both taken as the derivative.

    Silencing a gene that raises a target lowers it: the sign of what was observed is turned.
    """
    if (observed := inputs.subject.observed) is None:
        return
    shifts = -observed["delta_y"].transpose("gene", "perturbation").to_pandas()
    found = {OBSERVED: shifts[sorted(set(shifts.columns) & set(inputs.cells.genes))]}
    if "correlation" in observed:
        found[COEXPRESSION] = observed["correlation"].transpose("input_gene", "input_gene_b").to_pandas()
    for role, table in found.items():
        rows = table.loc[[name for name in panel.targets if name in table.index]].astype(np.float64)
        if set(panel.regulators) & set(rows.columns):
            yield _question(inputs, panel, rows, "", role=role)


@dataclass(frozen=True, kw_only=True)
class Ranked(Score):
    """Do regulators score higher than other genes, by ranks of which each target has its share?"""

    ranks: pd.DataFrame
    """[gene, target]."""

    def contributions(self, found: np.ndarray) -> dict[str, float]:
        """Return what each target contributes to the estimate: the regulators' mean rank in it.

        What a model has more than a rival must be so over targets, of which there are more than regulators.
        """
        return self.ranks.loc[np.asarray(self.names)[found]].mean().dropna().to_dict()


def _question(inputs: TestInputs, panel: Panel, rows: pd.DataFrame, note: str, **more: Any) -> Ranked:
    """Return the question whether the panel's regulators score higher than other genes: `rows` [target, gene]."""
    ranks = ranks_within(rows, panel)
    pool = cache(lambda _: _pool(inputs, panel, ranks, note))
    who = {"statistic": PRIMARY, "unit": "gene", "panel": panel.name, "programs": [panel.program]}
    draws = lambda program: (PRIMARY, program, panel.name, len(pool(program).names))  # noqa: E731
    return Ranked(**who, ranks=ranks, pool=pool, draws=draws, with_interval=False, **more)


def _pool(inputs: TestInputs, panel: Panel, ranks: pd.DataFrame, note: str) -> Pool:
    names, targets = ranks.index.to_numpy(), ranks.shape[1]
    absent = sorted(set(panel.regulators) - set(names))
    unmeasured = f"regulators not measured: {', '.join(absent)}" if absent else ""
    n = len(set(panel.regulators)) - len(absent)
    few = f"{n} measured regulators, {inputs.min_genes} needed" if n < inputs.min_genes else ""
    short = few if targets else "no target of the panel is measured and open"
    ranked = f"{targets} targets, ranks of {'s J' if panel.signs else '|J|'} among {len(names)} genes"
    expression = inputs.cells.for_genes(tuple(names)).values.mean(axis=(0, 1), dtype=np.float64)
    scores = ranks.mean(axis=1).to_numpy()
    return Pool(names, scores, expression, panel.regulators, [ranked, unmeasured, note], short)


def ranks_within(rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return each gene's rank [gene, target] in what moves each target, in (0, 1), of derivatives [target, gene].

    Within a target, among all genes but itself (nan): what its output's gain is has no say. Ranks are of |J|, where the
    panel gives signs of s J: a regulator has its own signs, every other gene those of one of the regulators, in turn.
    Genes in order of names.
    """
    values = rows.T.sort_index()
    genes, targets = values.index.to_numpy(), values.columns.to_numpy()
    left_out = genes[:, None] == targets
    if not panel.signs:
        return pd.DataFrame(mid_ranks(values.abs().to_numpy(), left_out), genes, targets)
    turned = mid_ranks(values.to_numpy(), left_out)
    signs = np.array([[panel.signs.get(f"{a}>{b}", 1) for b in targets] for a in panel.regulators])
    own = {name: i for i, name in enumerate(panel.regulators)}
    given = signs[[own.get(name, i % len(signs)) for i, name in enumerate(genes)]]
    return pd.DataFrame(np.where(given > 0, turned, 1 - turned), genes, targets)


def plant(inputs: MeasureInputs, models: Mapping[str, "Model"]) -> dict[str, "Model"]:
    """Return the planted models, with what this probe asks put into their linear part.

    In the mechanism each regulator of a panel acts on as many of its targets as shift its score by d. Co-variation has
    its regressions between a panel's genes too; the lookup stays as it is.
    """
    from pertprobe.models.planted.materials import ridge

    mechanism, covariation = models["planted"], models["covariation"]
    cells = inputs.cells.for_genes(mechanism.genes).values.reshape(-1, len(mechanism.genes)).astype(np.float64)
    identity = np.equal.outer(mechanism.genes, mechanism.output_genes)
    regressions = _with_linear(covariation, identity + ridge(cells))
    return {**models, "planted": _with_linear(mechanism, _wired(inputs.panels, mechanism)), "covariation": regressions}


def _wired(asked: Mapping[str, Mapping[str, Any]], model: "PlantedModel") -> np.ndarray:
    """Return a mechanism's linear part [gene, output] in which regulators act on some of their targets.

    On the others they act as much as a gene that is drawn for each.
    """
    from pertprobe.models.planted.materials import EFFECT

    linear = model.parts.linear.double().numpy()
    found, genes, outputs = linear.copy(), list(model.genes), list(model.output_genes)
    for panel in asked.values():
        signs, targets = panel.get("signs") or {}, [name for name in panel["targets"] if name in outputs]
        for regulator in (name for name in panel["regulators"] if name in genes):
            able = [name for name in targets if name != regulator]
            rng = generator(model.card["seed"], "influence", regulator, *able)
            chosen = set(rng.permutation(able)[: _number(len(able), model.card["d"])])
            for target in able:
                weak = linear[rng.choice([i for i, name in enumerate(genes) if name != target]), outputs.index(target)]
                strong = signs.get(f"{regulator}>{target}", 1) * EFFECT
                found[genes.index(regulator), outputs.index(target)] = strong if target in chosen else weak
    return found


def _number(targets: int, d: float) -> int:
    """Return of how many targets a regulator must be first among all genes for its mean rank to rise by d sd.

    The mean of n uniform ranks has sd 1 / sqrt(12 n), and each first place raises it by 1 / (2 n).
    """
    return min(targets, round(2 * d * np.sqrt(targets / 12)))


def _with_linear(model: "PlantedModel", linear: np.ndarray) -> "PlantedModel":
    """Return the model with another linear part [gene, output], which remembers no cells of the old one."""
    import torch

    found = copy(model)
    found.parts, found._last = model.parts._replace(linear=torch.as_tensor(linear, dtype=model.dtype)), None
    return found


def null_world(draw: Drawing) -> World:
    """Draw derivatives that grow with a gene's expression and with no panel; members are shifted by d sd in their rank.

    Of kind signed, of targets that most genes lower, with panels that give signs.
    """
    targets, genes = ([f"{letter}{i:03d}" for i in range(n)] for letter, n in (("t", TARGETS), ("g", draw.units)))
    expression = pd.Series(np.sort(draw.rng.lognormal(0, SPREAD, draw.units)), genes)
    signed = draw.kind == SIGNED
    values = draw.rng.normal(-LOWERED * signed, 1, (draw.units, TARGETS)) * np.sqrt(expression.to_numpy())[:, None]
    signs = draw.rng.choice([-1, 1], values.shape, p=[LOWERING, 1 - LOWERING]) if signed else np.sign(values)
    for i in draw.members:
        chosen = draw.rng.permutation(TARGETS)[: _number(TARGETS, draw.d)]
        values[i, chosen] = signs[i, chosen] * 2 * np.abs(values).max()
    measured = _labelled(values.T[None], np.ones((1, TARGETS)), targets, genes)
    subject = drawn_subject(measured, pd.Series(dtype=float))
    signs = pd.DataFrame(signs, genes, targets) if signed else None
    return World(expression, partial(_given, subject, cells_of(expression), signs))


def _given(
    subject: Subject, cells: CellSets, signs: pd.DataFrame | None, programs: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return what the questions read: a panel for each program, whose regulators are its genes."""
    targets = subject.measurement.perturbation.values.tolist()
    config = {}
    for name, genes in programs.items():
        pairs = {} if signs is None else {f"{a}>{b}": int(signs.loc[a, b]) for a in genes for b in targets}
        given = {"regulators": list(genes), "targets": targets, "perturbations": [], "controls": [], "signs": pairs}
        config[name] = {"program": name, **given}
    return {"subject": subject, "cells": cells, "panels": read_panels(config, Programs(programs), ())}


def draw(inputs: "DrawInputs") -> "Drawn":
    """Draw each panel beside its null, and every gene's mean rank in what moves the strongest panels' targets."""
    from pertprobe.probes import panels_figure

    influence = cache(lambda model: averaged(inputs.measurements[model], "influence").to_pandas())

    def scores(row: Any) -> tuple[pd.Series, set[str]]:
        """Return the mean rank of every gene on a row's panel, and the panel's regulators."""
        config = {row.panel: inputs.question["panels"][row.panel] | {"perturbations": [], "controls": []}}
        panel, rows = read_panels(config, inputs.programs, ())[row.panel], influence(row.model)
        ranks = ranks_within(rows.loc[[name for name in panel.targets if name in rows.index]], panel)
        return ranks.mean(axis=1).dropna(), set(panel.regulators)

    words = panels_figure.Words(
        others="other genes",
        inside="regulators",
        score="mean rank in what moves the targets",
        estimate="mean rank of the regulators",
        caption="Mean rank, among all genes, of a panel's regulators in how much they move its targets under the "
        "control (0.5: as others)",
    )
    return panels_figure.draw(inputs, PRIMARY, scores, words)
