"""From measurements to evidence rows: what every probe's test has in common."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import xarray as xr

from pertprobe import evidence
from pertprobe.cards import read_card, read_seen, universe
from pertprobe.cells import CellSets
from pertprobe.controls import cascade_statistic, pairs_of_copies, with_controls
from pertprobe.measuring import COPIES_NOTE, NOT_EVALUABLE, read_measurement, read_subject
from pertprobe.probes.base import Subject, TestInputs
from pertprobe.probes.declaration import Declaration, declared
from pertprobe.probes.delta_y import strength
from pertprobe.probes.questions import ask
from pertprobe.programs import read_panels, run_programs
from pertprobe.quality import gate, read_program_quality
from pertprobe.roles import PLANTED, SUBJECT, role_of

CAUSAL_NOTE = "causal attention: results depend on the order of cells"
COPY_PERMUTATIONS = 999
"""Draws for a re-drawn copy: its null's mean and standard deviation are asked, no p value."""


@dataclass(frozen=True)
class Asked:
    """One question of one probe: the model or pair, what stands beside it, and what must be said of it."""

    inputs: TestInputs
    derived: xr.Dataset | None = None
    """Planted models measured with the same units and cells; variants are their kinds."""
    reference_derived: xr.Dataset | None = None
    causal: bool = False
    """A model concerned has causal attention."""
    quality: Mapping[str, str] = field(default_factory=dict)
    """Program -> why the model predicts it no better than the mean shift; programs that pass are not in it."""


def run_test(probe: str, asked: Asked) -> pd.DataFrame:
    """Return the evidence of one probe on one model or pair, with its controls beside it."""
    declaration, inputs = declared(probe), asked.inputs
    refused = _refusal(inputs)
    if refused:
        return evidence.frame(_remarked(_refused_rows(declaration, inputs, refused), asked, declaration))
    rows = [*ask(probe, inputs), *_control_rows(probe, asked)]
    table = with_controls(evidence.frame(rows), declaration.primary, declaration.compared_in, declaration.common_scale)
    return evidence.frame(_remarked(table.to_dict("records"), asked, declaration))


def _refusal(inputs: TestInputs) -> str:
    """Return why a measurement could not be made, of the model or of its reference; empty where both were."""
    subjects = [each for each in (inputs.subject, inputs.reference) if each is not None]
    reasons = [each.measurement.attrs[NOT_EVALUABLE] for each in subjects if NOT_EVALUABLE in each.measurement.attrs]
    return evidence.joined(*dict.fromkeys(reasons))


def _refused_rows(declaration: Declaration, inputs: TestInputs, reason: str) -> Iterator[dict[str, Any]]:
    """Say for every program why the question could not be put."""
    unit = "gene" if declaration.unit == "gene" else "perturbation"
    for program in inputs.programs:
        who = {"statistic": declaration.primary, "program": program, "unit": unit}
        yield evidence.not_evaluable(inputs.identity, reason, **who)


def _control_rows(probe: str, asked: Asked) -> Iterator[dict[str, Any]]:
    """Put the question to every copy of the model, and to the models planted beside it."""
    inputs = asked.inputs
    sides = [(inputs.subject.measurement, inputs.reference.measurement if inputs.reference else None)]
    sides.append((asked.derived, asked.reference_derived))
    for ours, theirs in sides:
        for name, other in _variants(ours, theirs, inputs):
            role, copy = role_of(name)
            draws = inputs.permutations if role in PLANTED else min(inputs.permutations, COPY_PERMUTATIONS)
            # What was observed stands beside the subject alone.
            reference = inputs.reference and replace(inputs.reference, measurement=theirs.sel(variant=other, drop=True))
            reference = reference and replace(reference, observed=None)
            subject = replace(inputs.subject, measurement=ours.sel(variant=name, drop=True), observed=None)
            question = replace(inputs.as_role(role, copy), subject=subject, reference=reference, permutations=draws)
            for row in ask(probe, question):
                yield {**row, "statistic": cascade_statistic(row["statistic"], name)}


def _variants(ours: xr.Dataset | None, theirs: xr.Dataset | None, inputs: TestInputs) -> list[tuple[str, str]]:
    """Return the variants beside the model, each with that of the reference it is compared with."""
    if ours is None or "variant" not in ours.dims:
        return []
    names = [name for name in ours.variant.values.tolist() if name != SUBJECT]
    if inputs.reference is None:
        return [(name, "") for name in names]
    if theirs is None or "variant" not in theirs.dims:
        return []
    return pairs_of_copies(names, theirs.variant.values.tolist(), common_seed=bool(inputs.sharing))


def _remarked(rows: Iterable[Mapping[str, Any]], asked: Asked, declaration: Declaration) -> Iterator[dict[str, Any]]:
    """Say in each subject row what its reader must know, and refuse those whose answer would mislead."""
    copies = _about_copies(asked.inputs)
    for row in rows:
        if row["role"] != SUBJECT:
            yield dict(row)
            continue
        primary = row["statistic"] == declaration.primary
        notes = [copies if primary and row["evaluable"] else "", CAUSAL_NOTE if asked.causal else ""]
        row = {**row, "reason": evidence.joined(row["reason"], *notes)}
        yield _gated(_seed_shown(row, asked.inputs, declaration), asked.quality.get(row["program"], ""), declaration)


def _about_copies(inputs: TestInputs) -> str:
    """Return why there is no architecture null, or only a part of it; empty where nothing is to be said."""
    subjects = [each for each in (inputs.subject, inputs.reference) if each is not None]
    reasons = [each.measurement.attrs.get(COPIES_NOTE, "") for each in subjects]
    return evidence.joined(*dict.fromkeys(reasons))


def _seed_shown(row: dict[str, Any], inputs: TestInputs, declaration: Declaration) -> dict[str, Any]:
    """Refuse first-order agreement of models that share an initialisation, unless it exceeds that of untrained copies.

    The copies of such a pair were drawn with common seeds: they show what a shared seed alone can
    (methods.md, Untrained copies: the architecture null).
    """
    seed = inputs.sharing and declaration.first_order and row["exceeds_redrawn"] is not True
    return {**row, "evaluable": False} if seed else row


def _gated(row: dict[str, Any], sentence: str, declaration: Declaration) -> dict[str, Any]:
    """Apply the gate (methods.md, Quality, and the gate): a representation gets a note, the causal level no answer."""
    if not sentence or not row["evaluable"]:
        return row
    if declaration.level == "causal":
        return {**row, "evaluable": False, "reason": evidence.joined(sentence, row["reason"])}
    return {**row, "reason": evidence.joined(row["reason"], sentence)}


def read_question(probe: str, model: str, reference: str, files: Any, question: Mapping[str, Any]) -> Asked:
    """Read what a test needs.

    `files` is Snakemake's input with measurement, derived, delta_y, seen, card, cells, observed, quality, programs, and
    the same with the prefix `reference_` for a pair; `question` the part of the config that tests depend on.
    """
    subject, card = _subject(files, "")
    other, other_card = _subject(files, "reference_") if reference else (None, {})
    programs = run_programs(files.programs, question["programs"], universe([card]))
    names = sorted(set(card["perturbations"]) - {card["control"]})
    settings = question["programs"]
    inputs = TestInputs(
        identity={"probe": probe, "model": model, "reference": reference, **question["models"][model]},
        subject=subject,
        reference=other,
        programs=programs,
        panels=read_panels(question["panels"], programs, names),
        cells=CellSets.load(files.cells).for_genes(card["genes"]),
        settings=question["settings"],
        comparison=question["comparison"],
        shared_initialisation=_excess(card, reference),
        min_perturbations=settings["min_perturbations"],
        min_genes=settings["min_genes"],
        seed=question["seed"],
        **question["statistics"],
    )
    sides = ["", "reference_"] if reference else [""]
    derived = [read_measurement(path) if (path := files.get(f"{side}derived")) else None for side in sides]
    return Asked(
        inputs,
        derived[0],
        derived[1] if reference else None,
        causal=bool(card.get("causal") or other_card.get("causal")),
        quality=_gates({model: files.quality} | ({reference: files.reference_quality} if reference else {}), programs),
    )


def _subject(files: Any, prefix: str) -> tuple[Subject, dict[str, Any]]:
    measurement, observed = (read_measurement(getattr(files, prefix + name)) for name in ("measurement", "observed"))
    delta_y, seen, card = (getattr(files, prefix + name) for name in ("delta_y", "seen", "card"))
    known = strength(read_subject(delta_y, "delta_y"))
    return Subject(measurement, known, read_seen(seen), observed), read_card(card)


def _gates(paths: Mapping[str, Any], programs: Iterable[str]) -> dict[str, str]:
    """Return program -> why a model concerned predicts it no better than the mean shift; `paths` by model."""
    tables = {model: read_program_quality(path) for model, path in paths.items()}
    found = {
        program: evidence.joined(
            *(f"{sentence} ({model})" for model, table in tables.items() if (sentence := gate(table, program)))
        )
        for program in programs
    }
    return {program: sentence for program, sentence in found.items() if sentence}


def _excess(card: Mapping[str, Any], reference: str) -> float:
    """Return how much more alike matched than mismatched codes of the pair are; 0 where it could not be measured."""
    return card["shared_initialisation"].get(reference, {}).get("difference") or 0.0
