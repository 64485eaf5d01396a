"""From measurements to evidence rows: what every probe's test has in common."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pertprobe import evidence
from pertprobe.cards import read_card, read_seen, universe
from pertprobe.cells import CellSets
from pertprobe.measuring import NOT_EVALUABLE, read_measurement
from pertprobe.probes import load_probe
from pertprobe.probes.base import Subject, TestInputs
from pertprobe.probes.delta_y import strength
from pertprobe.programs import read_panels, run_programs

CAUSAL_NOTE = "causal attention: results depend on the order of cells"


def run_test(probe: str, inputs: TestInputs, *, causal: bool = False) -> pd.DataFrame:
    """Return the evidence of one probe on one model or pair; rows of a causal model are marked."""
    module = load_probe(probe)
    refused = _refusal(inputs)
    rows = _refused_rows(module, inputs, refused) if refused else module.test(inputs)
    return evidence.frame(_marked(each) if causal else each for each in rows)


def _refusal(inputs: TestInputs) -> str:
    """Return why a measurement could not be made, of the model or of its reference; empty where both were."""
    subjects = [each for each in (inputs.subject, inputs.reference) if each is not None]
    reasons = [each.measurement.attrs[NOT_EVALUABLE] for each in subjects if NOT_EVALUABLE in each.measurement.attrs]
    return evidence.joined(*dict.fromkeys(reasons))


def _refused_rows(module: Any, inputs: TestInputs, reason: str) -> Iterator[dict[str, Any]]:
    """Say for every program why the question could not be put."""
    unit = "gene" if module.UNIT == "gene" else "perturbation"
    for program in inputs.programs:
        who = {"statistic": module.STATISTICS[0], "program": program, "unit": unit}
        yield evidence.not_evaluable(inputs.identity, reason, **who)


def _marked(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "reason": evidence.joined(row["reason"], CAUSAL_NOTE)}


def read_inputs(
    probe: str,
    model: str,
    reference: str,
    files: Any,
    question: Mapping[str, Any],
) -> tuple[TestInputs, bool]:
    """Read what a test needs; return it, and whether a model concerned is causal.

    `files` is Snakemake's input with measurement, delta_y, seen, card, cells, programs, and the same with the prefix
    `reference_` for a pair; `question` the part of the config that tests depend on.
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
    return inputs, bool(card.get("causal") or other_card.get("causal"))


def _subject(files: Any, prefix: str) -> tuple[Subject, dict[str, Any]]:
    measurement, delta_y, seen, card = (
        getattr(files, prefix + name) for name in ("measurement", "delta_y", "seen", "card")
    )
    subject = Subject(read_measurement(measurement), strength(read_measurement(delta_y)), read_seen(seen))
    return subject, read_card(card)


def _excess(card: Mapping[str, Any], reference: str) -> float:
    """Return how much more alike matched than mismatched codes of the pair are; 0 where it could not be measured."""
    return card["shared_initialisation"].get(reference, {}).get("difference") or 0.0
