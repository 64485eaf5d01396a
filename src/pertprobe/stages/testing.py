"""From measurements to evidence rows: what every test has in common, and the controls of each row."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import stdtrit

from pertprobe import evidence
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.observed import of_known
from pertprobe.data.programs import read_panels, run_programs
from pertprobe.models.cards import known_gene_names, read_card, read_seen
from pertprobe.models.names_in_cells import one_member_each, without_twins
from pertprobe.probes.base import NOT_EVALUABLE, Subject, TestInputs
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.probes.delta_y import strength
from pertprobe.probes.questions import ask, asked_all
from pertprobe.roles import CASCADE, KNOWN, PLANTED, REDRAWN, RIVALS, SUBJECT, role_of
from pertprobe.stages.measuring import COPIES_NOTE, read_measurement, read_subject
from pertprobe.stages.quality import gate, read_program_quality
from pertprobe.statistics.excess import half_width
from pertprobe.statistics.power import LEVEL


def with_controls(
    rows: Iterable[Mapping[str, Any]], primary: str, controlled: str, correlations: Collection[str] = ()
) -> pd.DataFrame:
    """Return rows as evidence, the subject's with excess_redrawn and excess_rivals and their intervals.

    Effects are compared as `evidence.comparable` says. Copies are compared with the model in the statistic
    `controlled`, which may be taken on other activations than `primary`, by the same measure on both sides.

    Args:
        rows: of one test: the subject, its copies, planted models, models of known kind and references.
        primary: the statistic that verdicts read.
        controlled: the statistic that copies have.
        correlations: statistics on a common scale.
    """
    rows = list(rows)
    table = evidence.frame(rows)
    per_unit = {tuple(row[key] for key in evidence.KEYS): row.get("per_unit", {}) for row in rows}
    keys = map(tuple, table[evidence.KEYS].itertuples(index=False, name=None))
    z, scale = evidence.comparable(table, correlations).where(table.evaluable), evidence.scale(table, correlations)
    table["asked"] = [Comparable(*each) for each in zip(z, scale, map(per_unit.__getitem__, keys), strict=True)]
    centred = table.adjustment == "centred"
    mine, alike = (table.role == SUBJECT) & centred, dict(iter(table[centred].groupby(["program", "panel"])))
    more = [
        {**row, **_compared(row, alike[row["program"], row["panel"]], primary, controlled)}
        for row in table[mine].to_dict("records")
    ]
    return evidence.frame([*table[~mine].to_dict("records"), *more])


class Comparable(NamedTuple):
    """A row as it is compared with others."""

    z: float
    """Its effect on the scale of `evidence.comparable`; nan where it is not evaluable."""
    scale: float
    """What the effect was divided by."""
    per_unit: Mapping[str, float]
    """Unit -> what it contributes to the estimate."""


def _compared(row: Mapping[str, Any], table: pd.DataFrame, primary: str, controlled: str) -> dict[str, Any]:
    """Return what the copies and the rivals say of one subject row; `table` has all rows of its program and panel."""
    alike = table.statistic == row["statistic"]
    asked = table.statistic == controlled if row["statistic"] == primary else alike
    own, itself = (_answered(table, which, [SUBJECT]) for which in (asked, alike))
    copies, rivals = _answered(table, asked, REDRAWN), _answered(table, alike, RIVALS)
    columns: dict[str, Any] = {}
    if len(own) == 1 and copies:
        columns |= _against_copies(own[0].z, np.array([each.z for each in copies]))
    if len(itself) == 1 and rivals:
        columns |= _against_rivals(itself[0], rivals)
    return columns


def _answered(table: pd.DataFrame, which: pd.Series, roles: Collection[str]) -> list[Comparable]:
    """Return those of the chosen rows that have one of these roles and can be compared."""
    return [each for each in table.asked[which & table.role.isin(roles)] if not np.isnan(each.z)]


def _against_copies(own: float, copies: np.ndarray) -> dict[str, float]:
    """Return what the model has more than its copies have on average, with its interval.

    All that a further copy would not exclude: own - mean -/+ t s sqrt(1 + 1 / m), s the sd of the m copies, t of m - 1
    degrees of freedom. One copy has no spread, and no interval.
    """
    excess, m = own - float(copies.mean()), copies.size
    half = np.nan if m < 2 else stdtrit(m - 1, (1 + LEVEL) / 2) * copies.std(ddof=1) * np.sqrt(1 + 1 / m)
    names = ("excess_redrawn", "excess_redrawn_low", "excess_redrawn_high")
    return dict(zip(names, (excess, float(excess - half), float(excess + half)), strict=True))


def _against_rivals(own: Comparable, rivals: Iterable[Comparable]) -> dict[str, float]:
    """Return what the model has more than its strongest rival, with the interval over units.

    The strongest is the one of the smallest lower end; one that has no interval leaves none.
    """
    found = np.array([_beyond(own, each) for each in rivals])
    excess, half = found[np.argmin(found[:, 0] - found[:, 1])]  # nan comes first
    names = ("excess_rivals", "excess_rivals_low", "excess_rivals_high")
    return dict(zip(names, (excess, excess - half, excess + half), strict=True))


def _beyond(own: Comparable, rival: Comparable) -> tuple[float, float]:
    """Return what one has more than another, and half the width of its interval (methods.md, Excess over rivals)."""
    ours, theirs = pd.Series(own.per_unit, dtype=float).align(pd.Series(rival.per_unit, dtype=float))
    return own.z - rival.z, half_width(ours.to_numpy(), theirs.to_numpy(), (own.scale, rival.scale))


def cascade_statistic(statistic: str, variant: str) -> str:
    """Return the name under which a copy re-drawn from the output down stands in the evidence."""
    return f"{statistic}_{variant}" if variant.startswith(CASCADE) else statistic


def stages_redrawn(statistic: str, controlled: str) -> str:
    """Return the last stage re-drawn in a statistic that `cascade_statistic` named; empty for any other."""
    start = f"{controlled}_{CASCADE}_"
    return statistic.removeprefix(start) if statistic.startswith(start) else ""


def pairs_of_copies(ours: list[str], theirs: list[str], *, common_seed: bool) -> list[tuple[str, str]]:
    """Return which copy of a model is compared with which of its reference.

    Copies of one number were drawn with one seed. Models that share their initialisation are judged against such pairs,
    all others against copies of different seeds (methods.md, Untrained copies: the architecture null). Planted models
    and cascades go by their name.
    """
    found = []
    for name in ours:
        kind, _, number = name.rpartition("_")
        if kind in REDRAWN and not common_seed:
            others = sorted(int(each.rpartition("_")[2]) for each in theirs if each.rpartition("_")[0] == kind)
            name_b = f"{kind}_{others[int(number) % len(others)]}" if others else ""
            if name_b != name and name_b:
                found.append((name, name_b))
        elif name in theirs:
            found.append((name, name))
    return found


CAUSAL_NOTE = "causal attention: results depend on the order of cells"
COPY_PERMUTATIONS = 999
"""Draws for a re-drawn copy: its null's mean and standard deviation are read, no p value."""


@dataclass(frozen=True)
class TestCase:
    """What one probe tests of one model or pair, with its controls, and what must be said of it."""

    __test__ = False  # no test case of pytest's

    inputs: TestInputs
    derived: xr.Dataset | None = None
    """Planted models measured with the same units and cells; variants are their kinds."""
    reference_derived: xr.Dataset | None = None
    causal: bool = False
    """A model concerned has causal attention."""
    quality: Mapping[str, str] = field(default_factory=dict)
    """Program -> why the model predicts it no better than the mean shift; programs that pass are not in it."""


def run_test(probe: str, case: TestCase, given_up: str = "") -> pd.DataFrame:
    """Return the evidence of one probe on one model or pair, with its controls.

    `given_up`: why it is not tested, since that has failed; every program then has a row that says so.
    """
    declaration, inputs = declared(probe), case.inputs
    refused = given_up or _said(inputs, NOT_EVALUABLE)
    if refused:
        return evidence.frame(_remarked(_refused_rows(declaration, inputs, refused), case, declaration))
    rows = [*ask(probe, inputs), *_control_rows(probe, case)]
    table = with_controls(rows, declaration.primary, declaration.compared_in, declaration.common_scale)
    return evidence.frame(_remarked(table.to_dict("records"), case, declaration))


def _said(inputs: TestInputs, attribute: str) -> str:
    """Return what an attribute of the measurements of the model and of its reference says; empty where neither has it.

    Why one could not be made, or why there is no architecture null, or only a part of it.
    """
    sides = [each for each in (inputs.subject, inputs.reference) if each is not None]
    return evidence.joined(*dict.fromkeys(each.measurement.attrs.get(attribute, "") for each in sides))


def _refused_rows(declaration: Declaration, inputs: TestInputs, reason: str) -> Iterator[dict[str, Any]]:
    """Say for every program why the question could not be put."""
    unit = "gene" if declaration.of_genes else "perturbation"
    for program in inputs.programs:
        who = {"statistic": declaration.primary, "program": program, "unit": unit}
        yield evidence.not_evaluable(inputs.identity, reason, **who)


def _control_rows(probe: str, case: TestCase) -> Iterator[dict[str, Any]]:
    """Put the question to every copy of the model, and to the models that stand beside it as its controls."""
    inputs, declaration = case.inputs, declared(probe)
    sides = [(inputs.subject.measurement, inputs.reference.measurement if inputs.reference else None)]
    sides.append((case.derived, case.reference_derived))
    for ours, theirs in sides:
        for name, other in _variants(ours, theirs, inputs):
            role, copy = role_of(name)
            draws = inputs.permutations if role in (*PLANTED, *KNOWN) else min(inputs.permutations, COPY_PERMUTATIONS)
            # What was observed is compared with those alone that are asked all.
            observed = {} if asked_all(declaration, role) else {"observed": None}
            reference = inputs.reference and replace(inputs.reference, measurement=theirs.sel(variant=other, drop=True))
            reference = reference and replace(reference, **observed)
            subject = replace(inputs.subject, measurement=ours.sel(variant=name, drop=True), **observed)
            question = replace(inputs.as_role(role, copy), subject=subject, reference=reference, permutations=draws)
            for row in ask(probe, question):
                yield {**row, "statistic": cascade_statistic(row["statistic"], name)}


def _variants(ours: xr.Dataset | None, theirs: xr.Dataset | None, inputs: TestInputs) -> list[tuple[str, str]]:
    """Return the control variants of the model, each with that of the reference it is compared with."""
    names = [name for name in _variant_names(ours) if name != SUBJECT]
    if inputs.reference is None:
        return [(name, "") for name in names]
    return pairs_of_copies(names, _variant_names(theirs), common_seed=bool(inputs.sharing))


def _variant_names(measured: xr.Dataset | None) -> list[str]:
    return measured.variant.values.tolist() if measured is not None and "variant" in measured.dims else []


def _remarked(rows: Iterable[Mapping[str, Any]], case: TestCase, declaration: Declaration) -> Iterator[dict[str, Any]]:
    """Say in each subject row what its reader must know, and refuse those whose answer would mislead."""
    copies = _said(case.inputs, COPIES_NOTE)
    for row in rows:
        if row["role"] != SUBJECT:
            yield dict(row)
            continue
        primary = row["statistic"] == declaration.primary
        notes = [copies if primary and row["evaluable"] else "", CAUSAL_NOTE if case.causal else ""]
        row = {**row, "reason": evidence.joined(row["reason"], *notes)}
        yield _gated(_seed_shown(row, case.inputs, declaration), case.quality.get(row["program"], ""))


def _seed_shown(row: dict[str, Any], inputs: TestInputs, declaration: Declaration) -> dict[str, Any]:
    """Refuse first-order agreement of models that share an initialisation, unless it exceeds that of untrained copies.

    The copies of such a pair were drawn with common seeds: they show what a shared seed alone can
    (methods.md, Untrained copies: the architecture null).
    """
    seed = inputs.sharing and declaration.first_order and not row["excess_redrawn_low"] > 0
    return {**row, "evaluable": False} if seed else row


def _gated(row: dict[str, Any], sentence: str) -> dict[str, Any]:
    """Say of a row that is answered that its program is below the gate (methods.md, Quality, and the gate)."""
    return {**row, "reason": evidence.joined(row["reason"], sentence)} if row["evaluable"] else row


def read_test_case(probe: str, model: str, reference: str, files: Any, question: Mapping[str, Any]) -> TestCase:
    """Read what a test needs.

    `files` is Snakemake's input with measurement, derived, delta_y, seen, card, cells, rivals, observed, quality,
    programs, and the same with the prefix `reference_` for a pair; `question` the part of the config that tests depend
    on.
    """
    subject, card = _subject(files, "")
    other, other_card = _subject(files, "reference_") if reference else (None, {})
    programs = run_programs(files.programs, question["programs"], known_gene_names([card]))
    shared = card.get("same_input", ())
    if shared and not declared(probe).of_genes:
        programs = one_member_each(programs, shared)
    names = sorted(set(card["perturbations"]) - {card["control"]})
    limits = {key: question["programs"][key] for key in ("min_perturbations", "min_genes")}
    inputs = TestInputs(
        identity={"probe": probe, "model": model, "reference": reference, **question["models"][model]},
        subject=subject,
        reference=other,
        programs=programs,
        panels={
            name: without_twins(panel, shared)
            for name, panel in read_panels(question["panels"], programs, names).items()
        },
        cells=CellSets.load(files.cells).for_genes(card["genes"]),
        rivals=_given(files, "rivals"),
        reference_rivals=_given(files, "reference_rivals"),
        shared_initialisation=_excess(card, reference),
        shared_training=sorted({*card["training_contexts"]} & {*other_card.get("training_contexts", ())}),
        **{key: question[key] for key in ("settings", "comparison", "seed")},
        **limits,
        **question["statistics"],
    )
    paths = [files.get(f"{side}derived") for side in (("", "reference_") if reference else ("",))]
    derived = [read_measurement(path) if path else None for path in paths]
    quality = {model: files.quality} | ({reference: files.reference_quality} if reference else {})
    causal = bool(card.get("causal") or other_card.get("causal"))
    return TestCase(inputs, *derived, causal=causal, quality=_gates(quality, programs))


def _given(files: Any, name: str) -> xr.Dataset | None:
    return read_measurement(files[name]) if files.get(name) else None


def _subject(files: Any, prefix: str) -> tuple[Subject, dict[str, Any]]:
    measurement, observed = (read_measurement(getattr(files, prefix + name)) for name in ("measurement", "observed"))
    delta_y, seen, card = (getattr(files, prefix + name) for name in ("delta_y", "seen", "card"))
    known = strength(read_subject(delta_y, "delta_y"))
    return Subject(measurement, known, read_seen(seen), of_known(observed, known.index)), read_card(card)


def _gates(paths: Mapping[str, Any], programs: Iterable[str]) -> dict[str, str]:
    """Return program -> why a model concerned predicts it no better than the mean shift; `paths` by model."""
    tables = {model: read_program_quality(path) for model, path in paths.items()}
    found: dict[str, str] = {}
    for program, (model, table) in product(programs, tables.items()):
        if sentence := gate(table, program):
            found[program] = evidence.joined(found.get(program, ""), f"{sentence} ({model})")
    return found


def _excess(card: Mapping[str, Any], reference: str) -> float:
    """Return how much more alike matched than mismatched codes of the pair are; 0 where it could not be measured."""
    return card["shared_initialisation"].get(reference, {}).get("difference") or 0.0
