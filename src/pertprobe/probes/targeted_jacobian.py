"""targeted_jacobian: do a pathway's perturbations strengthen its own regulator -> target derivatives?"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.control_pairs import control_genes
from pertprobe.errors import PertprobeError
from pertprobe.observed import coexpression_similarity
from pertprobe.probes.base import MeasureInputs, TestInputs, averaged, members
from pertprobe.programs import Panel, measured_pairs, read_panels
from pertprobe.progress import counted
from pertprobe.roles import COEXPRESSION, OBSERVED, SUBJECT
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.published import rank_sum_triples
from pertprobe.statistics.ranks import rank_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs

# A cell of multiplicity S stands for S cells only in a set function.
NEEDS = frozenset({"stages", "gradient", "gene_space", "set_function"})
LEVEL = "causal"
UNIT = "panel"
CONTROL_PAIRS = "rank_score_control_pairs"
STATISTICS = ("rank_score", "rank_score_alternative", CONTROL_PAIRS)
CONTROLLED = STATISTICS[0]
"""The statistic in which re-drawn copies and planted models are compared with the model."""
CORRELATIONS = ()
"""Statistics that are compared with their controls as they are, not in units of their null: one scale for all."""
FIRST_ORDER = False
"""Whether it compares two models' own numbers, which a shared initialisation alone can make agree."""
KEEP = ("encode_perturbations", "encode_cells")
"""Stages that re-drawn copies keep: trained codes through untrained layers make the stronger null (inference.md 3)."""
NAMED = 12
"""Pathways of at most this many perturbations have them named in the figure."""
CLOSED = 0.2
"""A target whose output ReLU is closed in more than this share of perturbations is left out (inference.md 6)."""
ROUNDING = 1e-6
"""Relative difference below which two derivatives are one: a few steps of float32, in which models compute."""


def units(inputs: MeasureInputs) -> list[str]:
    """Return what is measured one by one: every perturbation but the control."""
    return inputs.perturbations


def measure(inputs: MeasureInputs, names: list[str]) -> xr.Dataset:
    """Return dY[target]/dX[regulator] [set, perturbation, feature] and open targets [set, perturbation, gene].

    A feature is called "regulator>target". The attribute `batch` names the batch label of the mean cell.
    """
    from pertprobe.jacobian import panel_jacobian  # torch, which tests do without
    from pertprobe.models.base import encode_each

    controls = {name: _controls(inputs, panel) for name, panel in inputs.panels.items()}
    regulators, targets = _measured_genes(inputs, [*inputs.panels.values(), *controls.values()])
    if not regulators or not targets:
        raise PertprobeError("targeted_jacobian: no regulator or no target of any panel is among the model's genes.")
    point, label = _point(inputs)
    columns = [inputs.model.genes.index(name) for name in regulators]
    rows = [inputs.model.output_genes.index(name) for name in targets]
    codes = encode_each(inputs.model, names)
    found = [
        panel_jacobian(inputs.model, code, point, rows, columns)
        for code in counted(list(codes), "Jacobians of perturbations")
    ]
    values = np.stack([each.values.detach().cpu().numpy() for each in found], axis=1)
    active = np.stack([each.open.cpu().numpy() for each in found], axis=1)
    features = [f"{regulator}>{target}" for target in targets for regulator in regulators]
    jacobian = xr.DataArray(
        values.reshape(*values.shape[:2], -1),
        dims=("set", "perturbation", "feature"),
        coords={"perturbation": names, "feature": features},
    )
    opened = xr.DataArray(active, dims=("set", "perturbation", "gene"), coords={"gene": targets})
    attributes = {"batch": label, "control_pairs": json.dumps(controls)}
    return xr.Dataset({"jacobian": jacobian, "open": opened}, attrs=attributes)


def _controls(inputs: MeasureInputs, panel: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the genes of the control pairs of a panel, as a panel's genes are given."""
    measured = set(inputs.model.genes) & set(inputs.model.output_genes)
    regulators, targets = ([name for name in panel[part] if name in measured] for part in ("regulators", "targets"))
    excluded = {name for each in inputs.panels.values() for part in ("regulators", "targets") for name in each[part]}
    chosen = control_genes(inputs.cells, regulators, targets, excluded | (set(inputs.model.genes) - measured))
    return {part: list(genes) for part, genes in chosen._asdict().items()}


def _measured_genes(
    inputs: MeasureInputs, panels: Sequence[Mapping[str, Sequence[str]]]
) -> tuple[list[str], list[str]]:
    """Return the regulators among the model's inputs and the targets among its outputs, over all panels."""
    regulators = {name for panel in panels for name in panel["regulators"]}
    targets = {name for panel in panels for name in panel["targets"]}
    return sorted(regulators & set(inputs.model.genes)), sorted(targets & set(inputs.model.output_genes))


def _point(inputs: MeasureInputs) -> tuple[Any, str]:
    """Return where the derivative is taken, and the batch label used there (empty: each cell its own)."""
    from pertprobe.jacobian import cells_point, check_multiplicity, mean_cell_point

    model, cells = inputs.model, inputs.cells
    code = model.encode_perturbations([model.control])[0]
    if inputs.settings["at"] == "cells":
        return cells_point(cells.values, model.batch_indices(cells.batches), code), ""
    label = _commonest(cells.batches)
    indices = model.batch_indices(np.array([label])) if label else None
    point = mean_cell_point(cells.values, None if indices is None else int(indices[0]), code)
    if inputs.role == SUBJECT:  # its copies have the same architecture, and planted models are set functions
        check_multiplicity(model, code, point)
    return point, label


def _commonest(batches: np.ndarray | None) -> str:
    """Return the most frequent batch label, the first in order of names among equals; empty without labels."""
    if batches is None:
        return ""
    counts = Counter(batches.ravel().tolist())
    return min(counts, key=lambda label: (-counts[label], label))


def test(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Are a panel's derivatives larger under its pathway's perturbations than under others of the same strength?"""
    if inputs.reference is not None:
        return
    for name, panel in inputs.panels.items():
        yield from _panel_rows(inputs, name, panel)
    for program in inputs.programs.keys() - {panel.program for panel in inputs.panels.values()}:
        who = {"statistic": "rank_score", "program": program}
        yield evidence.not_evaluable(inputs.identity, "no panel for this program", **who)


def _panel_rows(inputs: TestInputs, name: str, panel: Panel) -> Iterator[dict[str, Any]]:
    who = {"program": panel.program, "panel": name}
    table, notes = panel_table(inputs.subject.measurement, panel)
    if table.shape[1] == 0:
        for statistic in STATISTICS:
            yield evidence.not_evaluable(inputs.identity, evidence.joined(*notes), statistic=statistic, **who)
        return
    said, table = _published(table, panel), where_open(inputs.subject.measurement, table)
    yield _primary_row(inputs, panel, table, who, notes, said)
    other, label = (table.abs(), "|J|") if panel.signs else (table, "J")
    who_else = {"statistic": STATISTICS[1], **who}
    yield _score_row(inputs, panel, other, who_else, [f"ranks of {label}", *notes], (np.nan, np.nan))
    yield _control_row(inputs, name, panel, who)


def controlled(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the primary rows alone, as they are asked of re-drawn copies and planted models."""
    if inputs.reference is not None:
        return
    for name, panel in inputs.panels.items():
        table, notes = panel_table(inputs.subject.measurement, panel)
        if table.shape[1]:
            table = where_open(inputs.subject.measurement, table)
            yield _primary_row(inputs, panel, table, {"program": panel.program, "panel": name}, notes)


def references(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the rank score of the observed responses, and of co-expression taken as the Jacobian.

    Observed: the product of the observed shifts of regulator and target. Co-expression: their correlation in control
    cells, which is the same under every perturbation, so that it ranks none above another.
    """
    observed = inputs.subject.observed
    if inputs.reference is not None or observed is None:
        return
    shifts = observed["delta_y"].sortby("perturbation").to_pandas()
    for name, panel in inputs.panels.items():
        who = {"program": panel.program, "panel": name}
        pairs, _ = measured_pairs(panel, list(shifts.columns), list(shifts.columns))
        if not pairs:
            continue
        moved = pd.DataFrame({f"{a}>{b}": shifts[a] * shifts[b] for a, b in pairs})
        yield _primary_row(inputs.as_role(OBSERVED), panel, moved, who, [])
        matrix, kept = coexpression_similarity(observed, sorted({gene for pair in pairs for gene in pair}))
        together = pd.DataFrame(matrix, kept, kept)
        constant = pd.DataFrame(
            {f"{a}>{b}": together.loc[a, b] for a, b in pairs if a in kept and b in kept}, index=shifts.index
        )
        if constant.shape[1]:
            yield _primary_row(inputs.as_role(COEXPRESSION), panel, constant, who, [])


def _primary_row(
    inputs: TestInputs,
    panel: Panel,
    table: pd.DataFrame,
    who: dict[str, str],
    notes: Sequence[str],
    said: tuple[float, float] = (np.nan, np.nan),
) -> dict[str, Any]:
    """Test the ranks of s J where the panel gives signs, of |J| otherwise."""
    values, label = (signed_table(table, panel), "s J") if panel.signs else (table.abs(), "|J|")
    return _score_row(inputs, panel, values, {"statistic": CONTROLLED, **who}, [f"ranks of {label}", *notes], said)


def ranks(measurement: xr.Dataset, panels: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return where every perturbation stands on each pair of each panel, over all perturbations.

    Columns: panel, regulator, target, perturbation, jacobian (mean over cell sets), rank (1 = largest |J|, ties share
    their mean), of (perturbations ranked), open (share of cells whose output for the target is not 0). No rows where
    the measurement could not be made.
    """
    columns = ["panel", "regulator", "target", "perturbation", "jacobian", "rank", "of", "open"]
    if "jacobian" not in measurement:
        return pd.DataFrame(columns=columns)
    jacobian, opened = (averaged(measurement, name).to_pandas() for name in ("jacobian", "open"))
    tables = [
        pd.DataFrame(
            {
                "panel": name,
                "regulator": regulator,
                "target": target,
                "perturbation": jacobian.index,
                "jacobian": jacobian[f"{regulator}>{target}"].to_numpy(),
                "rank": jacobian[f"{regulator}>{target}"].abs().rank(ascending=False).to_numpy(),
                "of": len(jacobian),
                "open": opened[target].to_numpy(),
            }
        )
        for name, panel in panels.items()
        for regulator in panel["regulators"]
        for target in panel["targets"]
        if f"{regulator}>{target}" in jacobian.columns and regulator != target
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def signed_table(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return s J [perturbation, pair]: each pair times the sign that the panel expects, 1 where it expects none."""
    return table * np.array([(panel.signs or {}).get(pair, 1) for pair in table.columns])


def _control_row(inputs: TestInputs, name: str, panel: Panel, who: dict[str, str]) -> dict[str, Any]:
    """Ask the panel's question of its control pairs: a panel that is no better than these says nothing of itself."""
    genes = json.loads(inputs.subject.measurement.attrs["control_pairs"])[name]
    stand_in = replace(panel, regulators=tuple(genes["regulators"]), targets=tuple(genes["targets"]), signs=None)
    table, notes = panel_table(inputs.subject.measurement, stand_in)
    who = {"statistic": CONTROL_PAIRS, **who}
    if table.shape[1] == 0:
        return evidence.not_evaluable(inputs.identity, "no control pair is measured and open", **who)
    table = where_open(inputs.subject.measurement, table)
    pairs = f"control pairs of {', '.join(stand_in.regulators)} with {', '.join(stand_in.targets)}"
    return _score_row(inputs, panel, table.abs(), who, ["ranks of |J|", pairs, *notes], (np.nan, np.nan))


def panel_table(measurement: xr.Dataset, panel: Panel) -> tuple[pd.DataFrame, list[str]]:
    """Return the panel's Jacobian [perturbation, pair] and what was left out of it, in words."""
    jacobian = averaged(measurement, "jacobian").to_pandas()
    shut = (averaged(measurement, "open") == 0).mean("perturbation")
    closed = set(shut.gene.values[shut.values > CLOSED])
    regulators, targets = zip(*(pair.split(">", 1) for pair in jacobian.columns), strict=True)
    pairs, notes = measured_pairs(panel, regulators, targets)
    kept = [f"{a}>{b}" for a, b in pairs if b not in closed]
    mine = sorted(closed & set(panel.targets))
    if mine:
        notes = [*notes, f"targets closed in more than {CLOSED:.0%} of perturbations left out: {', '.join(mine)}"]
    if measurement.attrs.get("batch"):
        notes = [*notes, f"mean cell of batch {measurement.attrs['batch']}"]
    return jacobian[kept], list(notes) if kept else [*notes, "no pair of the panel is measured and open"]


def where_open(measurement: xr.Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Return the derivative [perturbation, pair] of the cells whose target is open: J over their share.

    A perturbation that lifts a target opens its output ReLU in more cells, and so raises the mean derivative of a model
    whose derivative knows no perturbation at all. Ties that rounding broke are made again, or the share would rank
    them after all. nan where no cell is open.
    """
    opened = averaged(measurement, "open").to_pandas().loc[table.index]
    shares = opened[[pair.split(">", 1)[1] for pair in table.columns]].to_numpy()
    values = table.to_numpy() / np.where(shares > 0, shares, np.nan)
    return pd.DataFrame(_levelled(values), table.index, table.columns)


def _levelled(values: np.ndarray) -> np.ndarray:
    """Return columns [P, K] in which runs of values that differ by rounding alone have the value of their lowest."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    same = np.abs(np.diff(ordered, axis=0)) <= ROUNDING * np.abs(ordered[1:])
    begins = np.concatenate([np.ones_like(ordered[:1], dtype=bool), ~same])
    lowest = np.maximum.accumulate(np.where(begins, np.arange(len(values))[:, None], 0), axis=0)
    levelled = np.empty_like(values)
    np.put_along_axis(levelled, order, np.take_along_axis(ordered, lowest, axis=0), axis=0)
    return levelled


def _score_row(
    inputs: TestInputs,
    panel: Panel,
    values: pd.DataFrame,
    who: dict[str, Any],
    notes: list[str],
    said: tuple[float, float],
) -> dict[str, Any]:
    scores, dropped = pathway_scores(values)
    program = set(inputs.programs[panel.program]) - set(panel.perturbations)
    scores = scores[[name for name in scores.index if name not in program]]
    found = members(scores.index, panel.perturbations)
    who = {**who, "n": len(found), "n_background": len(scores)}
    if dropped:
        notes = [*notes, f"{len(dropped)} perturbations with too few pairs dropped: {', '.join(dropped)}"]
    if len(found) < inputs.min_perturbations:
        short = f"{len(found)} pathway perturbations, {inputs.min_perturbations} needed"
        return evidence.not_evaluable(inputs.identity, evidence.joined(short, *notes), **who)
    strength = inputs.subject.strength.reindex(scores.index).to_numpy()
    test = mean_score(scores.to_numpy(), found, strength, inputs.permutations, inputs.random(*who.values()))
    columns = evidence.tested(test, inputs.subject.held_out(scores.index[found]), *notes)
    return evidence.row(inputs.identity, **who, **columns, estimate_published=said[0], p_published=said[1])


def pathway_scores(values: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Return each perturbation's mean mid-rank over the pairs [perturbation, pair], and the perturbations dropped."""
    pairs = [tuple(pair.split(">", 1)) for pair in values.columns]
    result = rank_scores(values.to_numpy(), list(values.index), pairs)
    scores = pd.Series(result.scores, index=values.index)
    return scores.dropna(), list(scores.index[scores.isna()])


def _published(table: pd.DataFrame, panel: Panel) -> tuple[float, float]:
    """Return the published ratio of mean J and rank-sum p over pooled (pair, perturbation) triples."""
    pathway = table.loc[table.index.isin(panel.perturbations)].to_numpy().ravel()
    control = table.loc[table.index.isin(panel.controls)].to_numpy().ravel()
    if not len(pathway) or not len(control):
        return np.nan, np.nan
    return float(pathway.mean() / control.mean()), rank_sum_triples(pathway, control).p


def draw(inputs: "DrawInputs") -> "Figure":
    """Draw every perturbation's mean rank on a panel's pairs: the pathway's beside all others."""
    from pertprobe.figures import NOTHING_TESTED, nothing_to_draw, panels

    kept = inputs.evidence[(inputs.evidence.statistic == STATISTICS[0]) & inputs.evidence.evaluable]
    if kept.empty:
        return nothing_to_draw(NOTHING_TESTED)
    figure, axes = panels(len(kept), 3.4, 2.6)
    for each, row in zip(axes, kept.itertuples(), strict=True):
        measurement = inputs.measurements[row.model]
        names = measurement.perturbation.values.tolist()
        panel = read_panels({row.panel: inputs.question["panels"][row.panel]}, inputs.programs, names)[row.panel]
        table = where_open(measurement, panel_table(measurement, panel)[0])
        scores, _ = pathway_scores(signed_table(table, panel) if panel.signs else table.abs())
        controls = inputs.evidence[(inputs.evidence.statistic == CONTROL_PAIRS) & (inputs.evidence.panel == row.panel)]
        _strip(each, scores, set(panel.perturbations), row, controls[controls.model == row.model].p)
    return figure


def _strip(axes: "Axes", scores: pd.Series, pathway: set[str], row: Any, p_of_controls: pd.Series) -> None:
    from pertprobe.figures import NULL, SUBJECT

    mine = scores.index.isin(pathway)
    for place, chosen, colour in ((0, ~mine, NULL), (1, mine, SUBJECT)):
        values = scores[chosen].sort_index()
        # Evenly spread in order of names: the spread keeps points and names apart and means nothing.
        heights = place + (np.linspace(0.36, -0.36, len(values)) if len(values) > 1 else np.zeros(1))
        axes.scatter(values, heights, s=12, color=colour, alpha=0.8)
        if place == 1 and len(values) <= NAMED:
            for (name, score), height in zip(values.items(), heights, strict=True):
                axes.annotate(name, (score, height), (4, 0), textcoords="offset points", fontsize=5, va="center")
    axes.axvline(row.null_mean, color="black", linewidth=0.6, linestyle=":")
    axes.annotate("null mean", (row.null_mean, -0.48), (2, 0), textcoords="offset points", fontsize=5)
    axes.set_yticks([0, 1], [f"others ({(~mine).sum()})", f"pathway ({mine.sum()})"])
    axes.set_ylim(-0.5, 1.5)
    beside = "".join(f"; control pairs p = {p:.2g}" for p in p_of_controls.dropna())
    axes.set_xlabel(f"mean rank on the panel's pairs\nq = {row.q:.2g}{beside}")
    axes.set_title(f"{row.panel}, {row.model}")
