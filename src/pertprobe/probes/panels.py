"""Panels of regulators and targets: what the probes of their derivatives share, from the measurement to the figure.

A measurement holds `jacobian` [set, perturbation, feature], features called "regulator>target", and `open` [set,
perturbation, gene], the share of cells whose output for a target is not 0, and `gain` [set, perturbation, gene], how
much a target answers to genes of no panel. Its attribute `control_pairs` names the genes that stand in for those of
each panel, `batch` the label of the mean cell.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.data.control_genes import control_genes
from pertprobe.data.observed import coexpression_similarity
from pertprobe.data.programs import Panel, Programs, measured_pairs, read_panels
from pertprobe.probes.base import (
    Drawing,
    MeasureInputs,
    Subject,
    TestInputs,
    World,
    averaged,
    labelled,
    members,
    stacked,
)
from pertprobe.probes.questions import Pool, Question, Refused, Score
from pertprobe.roles import COEXPRESSION, OBSERVED
from pertprobe.statistics.null_worlds import Profiles, derivatives
from pertprobe.statistics.published import rank_sum_triples
from pertprobe.statistics.ranks import rank_scores

if TYPE_CHECKING:
    from pertprobe.models.base import Model
    from pertprobe.plots import DrawInputs, Drawn
    from pertprobe.probes.panels_figure import Further

PRIMARY = "rank_score"
"""What verdicts read, and in which re-drawn copies and planted models are compared with the model."""
ALTERNATIVE = "rank_score_alternative"
CONTROL_PAIRS = "rank_score_control_pairs"
WITH_GAIN = "rank_score_with_gain"
STATISTICS = (PRIMARY, ALTERNATIVE, CONTROL_PAIRS, WITH_GAIN)
PROBES = 16
"""Random directions along which a target's gain is measured."""
GAIN_SPREAD = 0.5
"""sd over perturbations of the log gain of null worlds, as far as it is common to all targets."""
CLOSED = 0.2
"""A target whose output ReLU is closed in more than this share of perturbations is left out
(methods.md, Targeted Jacobian)."""
ROUNDING = 1e-6
"""Relative difference below which two derivatives are one: a few steps of float32, in which models compute."""


class Means(NamedTuple):
    """A measurement as panels are asked of it: the mean over cell sets, perturbations in order of names."""

    jacobian: pd.DataFrame
    """[perturbation, feature]."""
    opened: pd.DataFrame
    """[perturbation, gene]."""
    gain: pd.DataFrame
    """[perturbation, gene]."""
    attrs: Mapping[str, str]


class Scores(NamedTuple):
    """How perturbations are ranked on the pairs of a panel."""

    values: pd.Series
    """Perturbation -> score; those without one are left out."""
    notes: Sequence[str] = ()
    short: str = ""
    """Why there are none."""


Doubt = Callable[[Panel, str], tuple[str, str]]
"""Given a panel and a statistic by which it is scored, returns what is said of scores that were estimated: a note, and
why they answer nothing (empty where they do)."""
Beside = Callable[[xr.Dataset, Sequence[str]], Mapping[str, Any]]
"""Given derivatives and names of panels, returns variables that a measurement holds beside them."""


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


def measured_genes(inputs: MeasureInputs, *, with_controls: bool = True) -> Genes:
    """Return the genes that the panels ask for and the model has; with those of control pairs if `with_controls`."""
    controls = {name: _controls(inputs, panel) for name, panel in inputs.panels.items()} if with_controls else {}
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


def dataset(
    values: np.ndarray, opened: np.ndarray, gain: np.ndarray, names: Sequence[str], genes: Genes, label: str = ""
) -> xr.Dataset:
    """Return the measurement of derivatives [set, P, target, regulator], of open shares and gains [set, P, target]."""
    features = [f"{regulator}>{target}" for target in genes.targets for regulator in genes.regulators]
    jacobian = ("set", "perturbation", "feature"), values.reshape(*values.shape[:2], -1)
    of_targets = {name: (("set", "perturbation", "gene"), each) for name, each in (("open", opened), ("gain", gain))}
    found = {"jacobian": jacobian, **of_targets}
    found = labelled(found, perturbation=list(names), feature=features, gene=genes.targets)
    return found.assign_attrs(batch=label, control_pairs=json.dumps(genes.controls))


def questions(inputs: TestInputs, doubt: Doubt | None = None, *notes: str) -> Iterator[Question]:
    """Ask of each panel: are its derivatives larger under its pathway's perturbations than under others as strong?

    Beside it the same of the other way to rank them, of control pairs (a panel that is no better than these says
    nothing of itself), and of derivatives whose gain is not held. `notes`, and what `doubt` says of scores, stand in
    the rows of a panel.
    """
    means = means_of(inputs.subject.measurement)
    for panel in inputs.panels.values():
        yield from _of_panel(inputs, means, panel, doubt, notes)
        yield from _baselines(inputs, panel)
    yield without_panel(inputs, PRIMARY)


def without_panel(inputs: TestInputs, statistic: str, **more: Any) -> Refused:
    """Return the refusal of programs that have no panel."""
    others = inputs.programs.keys() - {panel.program for panel in inputs.panels.values()}
    return Refused(statistic=statistic, programs=others, reason="no panel for this program", **more)


def _of_panel(
    inputs: TestInputs, means: Means, panel: Panel, doubt: Doubt | None, notes: Sequence[str]
) -> Iterator[Question]:
    table, found = panel_table(means, panel)
    if table.shape[1] == 0:
        who = {"panel": panel.name, "programs": [panel.program], "reason": evidence.joined(*found, *notes)}
        yield from (Refused(statistic=statistic, **who) for statistic in STATISTICS)
        return
    for statistic in STATISTICS:
        said = (lambda *_: _published(table, panel)) if statistic == PRIMARY else None
        score = partial(scored, means, panel, statistic, notes)
        yield _question(inputs, panel, statistic, score, doubt, published=said)


def _baselines(inputs: TestInputs, panel: Panel) -> Iterator[Question]:
    """Yield the rank score of the observed responses, and of co-expression taken as the Jacobian.

    Observed: the product of the observed shifts of regulator and target. Co-expression: their correlation in control
    cells, which is the same under every perturbation, so that it ranks none above another.
    """
    if (observed := inputs.subject.observed) is None:
        return
    shifts = observed["delta_y"].sortby("perturbation").to_pandas()
    pairs, _ = measured_pairs(panel, shifts.columns, shifts.columns)
    matrix, genes = coexpression_similarity(observed, sorted({gene for pair in pairs for gene in pair}))
    r = pd.DataFrame(matrix, genes, genes)
    shifted = {f"{a}>{b}": shifts[a] * shifts[b] for a, b in pairs}
    together = {f"{a}>{b}": r.loc[a, b] for a, b in pairs if {a, b} <= set(genes)}
    for role, columns in ((OBSERVED, shifted), (COEXPRESSION, together)):
        if columns:
            scores = partial(_ranked, pd.DataFrame(columns, shifts.index), panel)
            yield _question(inputs, panel, PRIMARY, scores, role=role)


def _question(
    inputs: TestInputs,
    panel: Panel,
    statistic: str,
    scores: Callable[[], Scores],
    doubt: Doubt | None = None,
    **more: Any,
) -> Score:
    """Return the question whether scores are higher under the panel's own perturbations."""

    @cache
    def pool(_: str) -> Pool:
        """Return the perturbations that are scored, those of the program that are not the panel's left out."""
        return _pool(inputs, panel, scores(), doubt and partial(doubt, panel, statistic))

    def draws(program: str) -> tuple[object, ...]:
        """Return the names of the draws: those with as many members of as many perturbations are the same."""
        names = pool(program).names
        return statistic, program, panel.name, len(members(names, panel.perturbations)), len(names)

    who = {"statistic": statistic, "panel": panel.name, "programs": [panel.program]}
    return Score(**who, pool=pool, draws=draws, with_interval=False, **more)


def _pool(inputs: TestInputs, panel: Panel, found: Scores, doubt: Callable[[], tuple[str, str]] | None) -> Pool:
    outside = set(inputs.programs[panel.program]) - set(panel.perturbations)
    scores = found.values[~found.values.index.isin(outside)]
    n, inside = scores.index.isin(panel.perturbations).sum(), panel.perturbations
    few = f"{n} pathway perturbations, {inputs.min_perturbations} needed" if n < inputs.min_perturbations else ""
    short = found.short or few
    note, withheld = doubt() if doubt and not short else ("", "")
    names, strength = scores.index.to_numpy(), inputs.subject.strengths(scores.index)
    return Pool(names, scores.to_numpy(), strength, inside, [*found.notes, note], short, withheld)


def means_of(measurement: xr.Dataset) -> Means:
    """Return the subject's derivatives, open shares and gains, mean over cell sets."""
    found = (averaged(measurement, name).to_pandas() for name in ("jacobian", "open", "gain"))
    return Means(*found, measurement.attrs)


def scored(means: Means, panel: Panel, statistic: str = PRIMARY, notes: Sequence[str] = ()) -> Scores:
    """Score perturbations on a panel by the statistic that ranks them; `notes` stand behind its own."""
    asked, pairs = panel, []
    if statistic == CONTROL_PAIRS:
        asked = control_panel(means, panel)
        pairs = [f"control pairs of {', '.join(asked.regulators)} with {', '.join(asked.targets)}"]
    table, found = panel_table(means, asked)
    if table.shape[1] == 0:
        return Scores(pd.Series(dtype=float), (), "no control pair is measured and open")
    held = over(means.opened if statistic == WITH_GAIN else means.gain, table)
    return _ranked(held, asked, statistic, [*pairs, *found, *notes])


def _ranked(table: pd.DataFrame, panel: Panel, statistic: str = PRIMARY, notes: Sequence[str] = ()) -> Scores:
    """Score by ranks of s J where the panel gives signs, of |J| otherwise; the alternative ranks |J|, or J."""
    signed = (statistic != ALTERNATIVE) == bool(panel.signs) and statistic != CONTROL_PAIRS
    values, label = (signed_table(table, panel), "s J" if panel.signs else "J") if signed else (table.abs(), "|J|")
    scores, dropped = pathway_scores(values)
    left_out = [f"{len(dropped)} perturbations with too few pairs dropped: {', '.join(dropped)}"] if dropped else []
    return Scores(scores, [f"ranks of {label}", *notes, *left_out])


def ranks(measurement: xr.Dataset, panels: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return where every perturbation stands on each pair of each panel, over all perturbations.

    Columns: panel, regulator, target, perturbation, jacobian (mean over cell sets), rank (1 = largest |J|, ties share
    their mean), of (perturbations ranked), open (share of cells whose output for the target is not 0), gain (how much
    the target answers to genes of no panel). No rows where the measurement could not be made.
    """
    columns = ["panel", "regulator", "target", "perturbation", "jacobian", "rank", "of", "open", "gain"]
    if "jacobian" not in measurement:
        return pd.DataFrame(columns=columns)
    jacobian, opened, gain, _ = means_of(measurement)
    tables = []
    for name, panel in panels.items():
        for regulator, target in product(panel["regulators"], panel["targets"]):
            if f"{regulator}>{target}" in jacobian.columns and regulator != target:
                values = {"jacobian": jacobian[f"{regulator}>{target}"], "open": opened[target], "gain": gain[target]}
                table = pd.DataFrame(values).assign(panel=name, regulator=regulator, target=target, of=len(jacobian))
                tables.append(table.assign(rank=table.jacobian.abs().rank(ascending=False), perturbation=table.index))
    return stacked(tables, columns)


def signed_table(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return s J [perturbation, pair]: each pair times the sign that the panel expects, 1 where it expects none."""
    return table * np.array([(panel.signs or {}).get(pair, 1) for pair in table.columns])


def control_panel(means: Means, panel: Panel) -> Panel:
    """Return the panel with the genes of its control pairs in place of its own."""
    genes = json.loads(means.attrs["control_pairs"])[panel.name]
    return replace(panel, regulators=tuple(genes["regulators"]), targets=tuple(genes["targets"]), signs=None)


def panel_table(means: Means, panel: Panel) -> tuple[pd.DataFrame, list[str]]:
    """Return the panel's Jacobian [perturbation, pair] and what was left out of it, in words."""
    shut = (means.opened == 0).mean()
    closed = set(shut.index[shut > CLOSED])
    regulators, targets = zip(*(pair.split(">", 1) for pair in means.jacobian.columns), strict=True)
    pairs, notes = measured_pairs(panel, regulators, targets)
    kept = [f"{a}>{b}" for a, b in pairs if b not in closed]
    if mine := sorted(closed & set(panel.targets)):
        notes = [*notes, f"targets closed in more than {CLOSED:.0%} of perturbations left out: {', '.join(mine)}"]
    if means.attrs.get("batch"):
        notes = [*notes, f"mean cell of batch {means.attrs['batch']}"]
    return means.jacobian[kept], list(notes) if kept else [*notes, "no pair of the panel is measured and open"]


def over(size: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return derivatives [perturbation, pair] over the size [perturbation, gene] of their target under a perturbation.

    Over its gain: what of a target's answer to other genes the regulator has. A perturbation that lifts a target moves
    it along the slope of its output, and so raises every derivative of it in a model whose inner derivative knows no
    perturbation at all. Over the share of open cells: the derivative of these. Ties that rounding broke are made again,
    or the sizes would rank them after all. nan where the size is 0.
    """
    sizes = size.loc[table.index, [pair.split(">", 1)[1] for pair in table.columns]].to_numpy()
    values = table.to_numpy() / np.where(sizes > 0, sizes, np.nan)
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


def pathway_scores(values: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Return each perturbation's mean mid-rank over the pairs [perturbation, pair], and the perturbations dropped."""
    pairs = [tuple(pair.split(">", 1)) for pair in values.columns]
    scores = pd.Series(rank_scores(values.to_numpy(), list(values.index), pairs), index=values.index)
    return scores.dropna(), list(scores.index[scores.isna()])


def _published(table: pd.DataFrame, panel: Panel) -> tuple[float, float]:
    """Return the published ratio of mean J and rank-sum p over pooled (pair, perturbation) triples."""
    groups = panel.perturbations, panel.controls
    pathway, control = (table.loc[table.index.isin(names)].to_numpy().ravel() for names in groups)
    if not len(pathway) or not len(control):
        return np.nan, np.nan
    with np.errstate(divide="ignore", invalid="ignore"):  # derivatives that are 0 have no ratio
        return float(pathway.mean() / control.mean()), rank_sum_triples(pathway, control).p


def null_derivatives(draw: Drawing, together: float) -> Profiles:
    """Draw |J| [units, pairs] that grows with strength, and under members beyond it; pairs vary `together`.

    Members are shifted by d sd of all others' mean log |J|, pairs in units of their own spread: ranks follow it.
    """
    values, strength = derivatives(draw.rng, by_strength=True, together=together, units=draw.units)
    logs, mine = np.log(values), np.array(draw.members, dtype=np.intp)
    spread = logs.std(axis=0)
    sizes = np.delete((logs / spread).mean(axis=1), mine)
    logs[mine] += draw.d * sizes.std(ddof=1) * spread
    return Profiles(np.exp(logs), strength)


def null_gain(draw: Drawing, pairs: int) -> np.ndarray:
    """Draw gains [units, pairs] of perturbations that lift all targets more or less, and each a little by itself."""
    both = draw.rng.normal(size=(draw.units, 1)), draw.rng.normal(size=(draw.units, pairs))
    return np.exp(GAIN_SPREAD * (both[0] + both[1] / 2))


def null_world(made: Profiles, beside: Beside | None = None, gain: np.ndarray | None = None) -> World:
    """Return the world in which these derivatives were measured; each program has a panel of all pairs.

    Without control pairs. `beside` returns variables that stand beside the derivatives, by program. `gain` [units,
    pairs] multiplies them; programs are then confounded with it, in place of strength.
    """
    names, targets = ([f"{letter}{i:04d}" for i in range(n)] for letter, n in zip("pt", made.values.shape, strict=True))
    strength, sizes = pd.Series(made.strength, names), np.ones(made.values.shape) if gain is None else gain
    confounder = strength if gain is None else pd.Series(gain.mean(axis=1), names)
    values, sizes = (made.values * sizes)[None, :, :, None], sizes[None]

    def given(programs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return what the questions read."""
        panel = {"regulators": ["r"], "targets": targets}
        controls = {name: {"regulators": [], "targets": []} for name in programs}
        measured = dataset(values, np.ones(sizes.shape), sizes, names, Genes(**panel, controls=controls))
        measured = measured.assign(beside(measured, list(programs)) if beside else {})
        asked = read_panels({name: {"program": name, **panel} for name in programs}, Programs(programs), names)
        return {"subject": Subject(measured, strength, pd.Series("here", names)), "panels": asked}

    return World(confounder, given)


def draw(inputs: "DrawInputs", further: "Further | None" = None) -> "Drawn":
    """Draw each panel beside its null, and every perturbation's mean rank on the strongest panels' pairs.

    `further` is a statistic of the same panels that has a band of its own.
    """
    from pertprobe.probes import panels_figure

    means = cache(lambda model: means_of(inputs.measurements[model]))

    def scores(row: Any) -> tuple[pd.Series, set[str]]:
        """Return the score of every perturbation on a row's panel, and the panel's own."""
        config = {row.panel: inputs.question["panels"][row.panel]}
        panel = read_panels(config, inputs.programs, list(means(row.model).jacobian.index))[row.panel]
        return scored(means(row.model), panel).values, set(panel.perturbations)

    words = panels_figure.Words(
        others="others",
        inside="pathway perturbations",
        score="mean rank on the panel's pairs",
        estimate="mean rank of the pathway",
        caption="Mean rank, among all perturbations, of a pathway's own in how large they make the derivatives of the "
        "panel's targets by its regulators (0.5: as others)",
    )
    return panels_figure.draw(inputs, PRIMARY, scores, words, further, CONTROL_PAIRS)
