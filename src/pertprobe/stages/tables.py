"""Further tables of a probe: what it reads of all models together, and how the tables are written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import xarray as xr

from pertprobe.data.programs import run_programs
from pertprobe.files import write_table
from pertprobe.models.cards import read_seen
from pertprobe.probes import load_probe
from pertprobe.probes.base import Subject, TableInputs
from pertprobe.probes.delta_y import strength
from pertprobe.stages.measuring import read_measurement, read_subject


def read_table_inputs(files: Any, params: Any) -> TableInputs:
    """Read what a probe makes tables of.

    `files` is Snakemake's input with measurements, delta_y, seen (one of each model, in order), programs, and features,
    observed and rivals where the probe asks for them; `params` has models, pairs and question.
    """
    question = params.question
    sides = zip(params.models, files.measurements, files.delta_y, files.seen, strict=True)
    subjects = {name: _subject(*paths) for name, *paths in sides}
    observed, rivals = (_by_model(params.models, files.get(what)) for what in ("observed", "rivals"))
    subjects |= {name: replace(subjects[name], observed=found) for name, found in observed.items()}
    names = {name for each in subjects.values() for name in each.strength.index}
    return TableInputs(
        subjects,
        run_programs(files.programs, question["programs"], names),
        question["settings"],
        [tuple(pair) for pair in params.pairs],
        pd.read_csv(files.features, sep="\t") if files.get("features") else None,
        question["programs"]["min_perturbations"],
        rivals=rivals,
        **{key: question[key] for key in ("permutations", "seed") if key in question},
    )


def _by_model(models: Sequence[str], paths: Sequence[str] | None) -> dict[str, xr.Dataset]:
    """Return model -> what was kept of it; nothing where no files are given."""
    return dict(zip(models, map(read_measurement, paths), strict=True)) if paths else {}


def _subject(measurement: str, delta_y: str, seen: str) -> Subject:
    return Subject(read_subject(measurement), strength(read_subject(delta_y, "delta_y")), read_seen(seen))


def write_empty_tables(columns: Mapping[str, Sequence[str]], paths: Sequence[str]) -> None:
    """Write tables of these columns without a row, in order of their names: what they would have held has failed."""
    for name, path in zip(sorted(columns), paths, strict=True):
        write_table(pd.DataFrame(columns=columns[name]), path)


def write_tables(probe: str, inputs: TableInputs, paths: Sequence[str]) -> None:
    """Make a probe's further tables and write them, in order of their names."""
    tables = load_probe(probe).tables(inputs)
    for name, path in zip(sorted(tables), paths, strict=True):
        write_table(tables[name], path)
