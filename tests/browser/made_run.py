"""A made run of any size: all that the rule `report` reads, drawn from a seed and laid out as the results of a run.

Numbers are of every kind that tables must sort and print: negative, tiny, none. No statistic is meant.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from made_files import (
    place,
    reported,
    touch_measured,
    write_figures,
    write_further,
    write_models,
    write_programs,
    write_provenance,
)
from made_shape import Run, Size, made
from made_tables import answers_of, evaluability_of, evidence_of, readings_of, scorecard_of, verdicts_of

from pertprobe import evidence
from pertprobe.data.findings import census_table
from pertprobe.files import write_table
from pertprobe.report import write_report
from pertprobe.report.quality_page import write_quality_page
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.settled import filled

SCHEMA = Path(__file__).resolve().parents[2] / "config/schema.yaml"


def write_made_report(folder: Path, size: Size, seed: int = 0) -> Path:
    """Write the results of a made run with its report and the page on quality; return the report."""
    run = write_run(folder, size, seed)
    write_report(inputs(folder, run), params(run), folder / "report.html")
    write_quality_page(quality_inputs(folder, run), params(run), folder / "quality.html")
    return folder / "report.html"


def write_run(folder: Path, size: Size, seed: int = 0) -> Run:
    """Write the results of a made run, the pages left out."""
    run = made(size, seed)
    tables = {probe: evidence_of(run, probe) for probe in run.probes}
    for probe, table in tables.items():
        evidence.write(table, place(folder, f"evidence/{probe}.tsv"))
    verdicts, answers = verdicts_of(run, list(tables.values())), answers_of(run)
    write_table(verdicts, folder / "verdicts.tsv")
    write_table(answers, folder / "answers.tsv")
    write_table(readings_of(run, verdicts, answers), folder / "readings.tsv")
    write_table(scorecard_of(run), folder / "scorecard.tsv")
    write_table(evaluability_of(run), place(folder, "inputs/evaluability.tsv"))
    write_models(folder, run)
    write_programs(folder, run)
    touch_measured(folder, run)
    write_further(folder, run)
    write_figures(folder, run)
    write_provenance(folder, run, seed)
    return run


def inputs(folder: Path, run: Run) -> SimpleNamespace:
    """Return what the rule `report` reads of a run."""
    tables = {name: folder / f"{name}.tsv" for name in ("verdicts", "readings", "scorecard", "answers")}
    return SimpleNamespace(
        **tables,
        evaluability=folder / "inputs/evaluability.tsv",
        evidence=[folder / f"evidence/{probe}.tsv" for probe in run.probes],
        cards=[folder / f"models/{name}/card.json" for name in run.models],
        quality=[folder / f"models/{name}/quality.tsv" for name in run.models],
        figures=[folder / f"figures/{name}.svg" for name in ("scorecard", "verdict_matrix", *run.probes)],
        controls=folder / "figures/controls.svg",
        cascade=folder / "figures/cascade.svg",
        sae=[folder / "sae/joint/quality.tsv"],
        stability=[],
        tables=[folder / f"tables/{probe}/{run.probes[probe].tables['reported']}.tsv" for probe in reported(run)],
        programs=[folder / "programs.gmt"],
        provenance=folder / "provenance.json",
        times=folder / "run_times.tsv",
    )


def params(run: Run) -> SimpleNamespace:
    """Return the params of the rules `report` and `quality_page`, with the defaults of the config."""
    config = settled(run)
    kept = ("run", "pilot", "seed", "thresholds", "levels", "answer", "statistics", "controls", "programs")
    return SimpleNamespace(
        left_out={},
        **{name: config[name] for name in kept},
        interest=config["power"],
        models=run.models,
        probes=list(run.probes),
        questions={name: each.question for name, each in run.probes.items()},
        measured={name: each.measurement for name, each in run.probes.items()},
        sae=["joint"],
        reported=reported(run),
    )


def settled(run: Run) -> dict[str, Any]:
    """Return the config of such a run with its defaults filled in."""
    models = {name: {**entry, "path": name} for name, entry in run.models.items()}
    given = {"run": "made", "models": models, "probes": {name: {} for name in run.probes}, "pairs": run.pairs}
    return filled({**given, "cells": {}, "programs": {"gmt": ["programs.gmt"]}}, whole_schema(SCHEMA))


def quality_inputs(folder: Path, run: Run) -> SimpleNamespace:
    """Return what the rule `quality_page` reads of a run."""
    names = {"quality": "quality", "programs": "program_quality", "distribution": "distribution", "drift": "drift"}
    lists = {key: [folder / f"models/{model}/{name}.tsv" for model in run.models] for key, name in names.items()}
    figures = [folder / f"figures/quality/{model}.svg" for model in run.models]
    write_table(census_table([]), folder / "inputs/census.tsv")
    return SimpleNamespace(**lists, figures=figures, census=folder / "inputs/census.tsv")
