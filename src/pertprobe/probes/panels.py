"""Panels of regulators and targets: what the probes of their derivatives share, from the measurement to the figure.

A measurement holds `jacobian` [set, perturbation, feature], features called "regulator>target", and `open` [set,
perturbation, gene], the share of cells whose output for a target is not 0. Its attribute `control_pairs` names the
genes that stand in for those of each panel, `batch` the label of the mean cell.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.control_pairs import control_genes
from pertprobe.observed import coexpression_similarity
from pertprobe.probes.base import MeasureInputs, TestInputs, averaged, members
from pertprobe.programs import Panel, measured_pairs, read_panels
from pertprobe.roles import COEXPRESSION, OBSERVED
from pertprobe.statistics.permutation import mean_score
from pertprobe.statistics.published import rank_sum_triples
from pertprobe.statistics.ranks import rank_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pertprobe.figures import DrawInputs
    from pertprobe.models.base import Model

PRIMARY = "rank_score"
"""What verdicts read, and in which re-drawn copies and planted models are compared with the model."""
ALTERNATIVE = "rank_score_alternative"
CONTROL_PAIRS = "rank_score_control_pairs"
STATISTICS = (PRIMARY, ALTERNATIVE, CONTROL_PAIRS)
NAMED = 12
"""Pathways of at most this many perturbations have them named in the figure."""
CLOSED = 0.2
"""A target whose output ReLU is closed in more than this share of perturbations is left out
(methods.md, Targeted Jacobian)."""
ROUNDING = 1e-6
"""Relative difference below which two derivatives are one: a few steps of float32, in which models compute."""


class Genes(NamedTuple):
    """Genes of all panels that a model has, and of the pairs that stand in for theirs."""

    regulators: list[str]
    """Names, sorted."""
    targets: list[str]
    """Names, sorted."""
    controls: dict[str, dict[str, list[str]]]
    """Panel -> its stand-ins, as a panel's genes are given; empty where none were asked for."""

    def positions(self, model: "Model") -> tuple[list[int], list[int]]:
        """Return the places of targets among a model's outputs, and of regulators among its inputs."""
        sides = ((self.targets, model.output_genes), (self.regulators, model.genes))
        return tuple([names.index(name) for name in wanted] for wanted, names in sides)


def measured_genes(inputs: MeasureInputs, *, stand_ins: bool = True) -> Genes:
    """Return the genes that the panels ask for and the model has; with those of control pairs where `stand_ins`."""
    controls = {name: _controls(inputs, panel) for name, panel in inputs.panels.items()} if stand_ins else {}
    asked = [*inputs.panels.values(), *controls.values()]
    known = {"regulators": set(inputs.model.genes), "targets": set(inputs.model.output_genes)}
    found = {part: sorted({name for panel in asked for name in panel[part]} & names) for part, names in known.items()}
    return Genes(**found, controls=controls)


def unmeasured(genes: Genes) -> str:
    """Return why no panel can be measured; empty where one can."""
    lacking = [part for part in ("regulators", "targets") if not getattr(genes, part)]
    return f"no panel has {' or '.join(lacking)} among the model's genes" if lacking else ""


def _controls(inputs: MeasureInputs, panel: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the genes of the control pairs of a panel, as a panel's genes are given."""
    measured = set(inputs.model.genes) & set(inputs.model.output_genes)
    regulators, targets = ([name for name in panel[part] if name in measured] for part in ("regulators", "targets"))
    excluded = {name for each in inputs.panels.values() for part in ("regulators", "targets") for name in each[part]}
    chosen = control_genes(inputs.cells, regulators, targets, excluded | (set(inputs.model.genes) - measured))
    return {part: list(genes) for part, genes in chosen._asdict().items()}


def dataset(values: np.ndarray, opened: np.ndarray, names: Sequence[str], genes: Genes, label: str = "") -> xr.Dataset:
    """Return the measurement of derivatives [set, perturbation, target, regulator] and open shares [set, P, target]."""
    features = [f"{regulator}>{target}" for target in genes.targets for regulator in genes.regulators]
    dims = ("set", "perturbation")
    coords = {"set": np.arange(len(values)), "perturbation": list(names)}
    jacobian = xr.DataArray(
        values.reshape(*values.shape[:2], -1), dims=(*dims, "feature"), coords={**coords, "feature": features}
    )
    share = xr.DataArray(opened, dims=(*dims, "gene"), coords={**coords, "gene": genes.targets})
    return xr.Dataset(
        {"jacobian": jacobian, "open": share}, attrs={"batch": label, "control_pairs": json.dumps(genes.controls)}
    )


def commonest(batches: np.ndarray | None) -> str:
    """Return the most frequent batch label, the first in order of names among equals; empty without labels."""
    if batches is None:
        return ""
    counts = Counter(batches.ravel().tolist())
    return min(counts, key=lambda label: (-counts[label], label))


def rows(inputs: TestInputs, *notes: str) -> Iterator[dict[str, Any]]:
    """Ask of each panel: are its derivatives larger under its pathway's perturbations than under others as strong?

    `notes` stand in every row of a panel.
    """
    if inputs.reference is not None:
        return
    for name, panel in inputs.panels.items():
        yield from _panel_rows(inputs, name, panel, notes)
    for program in inputs.programs.keys() - {panel.program for panel in inputs.panels.values()}:
        who = {"statistic": PRIMARY, "program": program}
        yield evidence.not_evaluable(inputs.identity, "no panel for this program", **who)


def _panel_rows(inputs: TestInputs, name: str, panel: Panel, said_of_all: Sequence[str]) -> Iterator[dict[str, Any]]:
    who = {"program": panel.program, "panel": name}
    table, found = panel_table(inputs.subject.measurement, panel)
    notes = [*found, *said_of_all]
    if table.shape[1] == 0:
        for statistic in STATISTICS:
            yield evidence.not_evaluable(inputs.identity, evidence.joined(*notes), statistic=statistic, **who)
        return
    said, table = _published(table, panel), where_open(inputs.subject.measurement, table)
    yield _primary_row(inputs, panel, table, who, notes, said)
    other, label = (table.abs(), "|J|") if panel.signs else (table, "J")
    who_else = {"statistic": ALTERNATIVE, **who}
    yield _score_row(inputs, panel, other, who_else, [f"ranks of {label}", *notes], (np.nan, np.nan))
    yield _control_row(inputs, name, panel, who, said_of_all)


def controlled_rows(inputs: TestInputs) -> Iterator[dict[str, Any]]:
    """Yield the primary rows alone, as they are asked of re-drawn copies and planted models."""
    if inputs.reference is not None:
        return
    for name, panel in inputs.panels.items():
        table, notes = panel_table(inputs.subject.measurement, panel)
        if table.shape[1]:
            table = where_open(inputs.subject.measurement, table)
            yield _primary_row(inputs, panel, table, {"program": panel.program, "panel": name}, notes)


def reference_rows(inputs: TestInputs) -> Iterator[dict[str, Any]]:
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
    return _score_row(inputs, panel, values, {"statistic": PRIMARY, **who}, [f"ranks of {label}", *notes], said)


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


def _control_row(
    inputs: TestInputs, name: str, panel: Panel, who: dict[str, str], said_of_all: Sequence[str]
) -> dict[str, Any]:
    """Ask the panel's question of its control pairs: a panel that is no better than these says nothing of itself."""
    stand_in = stand_ins(inputs.subject.measurement, panel)
    table, notes = panel_table(inputs.subject.measurement, stand_in)
    who = {"statistic": CONTROL_PAIRS, **who}
    if table.shape[1] == 0:
        return evidence.not_evaluable(inputs.identity, "no control pair is measured and open", **who)
    table = where_open(inputs.subject.measurement, table)
    pairs = f"control pairs of {', '.join(stand_in.regulators)} with {', '.join(stand_in.targets)}"
    return _score_row(inputs, panel, table.abs(), who, ["ranks of |J|", pairs, *notes, *said_of_all], (np.nan, np.nan))


def stand_ins(measurement: xr.Dataset, panel: Panel) -> Panel:
    """Return the panel with the genes of its control pairs in place of its own."""
    genes = json.loads(measurement.attrs["control_pairs"])[panel.name]
    return replace(panel, regulators=tuple(genes["regulators"]), targets=tuple(genes["targets"]), signs=None)


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


def scores_of(measurement: xr.Dataset, panel: Panel, statistic: str = PRIMARY) -> pd.Series:
    """Return each perturbation's score on a panel, by the statistic that ranks it; a panel whose pairs are measured."""
    asked = stand_ins(measurement, panel) if statistic == CONTROL_PAIRS else panel
    table = where_open(measurement, panel_table(measurement, asked)[0])
    signed = (statistic == PRIMARY) == bool(asked.signs) and statistic != CONTROL_PAIRS
    return pathway_scores(signed_table(table, asked) if signed else table.abs())[0]


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
    with np.errstate(divide="ignore", invalid="ignore"):  # derivatives that are 0 have no ratio
        return float(pathway.mean() / control.mean()), rank_sum_triples(pathway, control).p


def draw(inputs: "DrawInputs", beside: "Callable[[Axes], None] | None" = None) -> "Figure":
    """Draw every perturbation's mean rank on a panel's pairs: the pathway's beside all others.

    `beside` draws into one axes more, after the panels.
    """
    from pertprobe.figures import NOTHING_TESTED, nothing_to_draw, panels

    kept = inputs.evidence[(inputs.evidence.statistic == PRIMARY) & inputs.evidence.evaluable]
    if kept.empty:
        return nothing_to_draw(NOTHING_TESTED)
    figure, axes = panels(len(kept) + (beside is not None), 3.4, 2.6)
    for each, row in zip(axes, kept.itertuples(), strict=False):
        measurement = inputs.measurements[row.model]
        panel = panel_of(inputs, row.panel, measurement)
        scores = scores_of(measurement, panel)
        controls = inputs.evidence[(inputs.evidence.statistic == CONTROL_PAIRS) & (inputs.evidence.panel == row.panel)]
        _strip(each, scores, set(panel.perturbations), row, controls[controls.model == row.model].p)
    if beside is not None:
        beside(axes[-1])
    return figure


def panel_of(inputs: "DrawInputs", name: str, measurement: xr.Dataset) -> Panel:
    """Return a panel of the config as a model's measurement asks it."""
    names = measurement.perturbation.values.tolist()
    return read_panels({name: inputs.question["panels"][name]}, inputs.programs, names)[name]


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
