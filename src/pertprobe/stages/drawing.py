"""What the figure of a probe is drawn of, read from the files of a run."""

from typing import Any

import pandas as pd

from pertprobe import evidence
from pertprobe.data.programs import run_programs
from pertprobe.files import AS_TEXT
from pertprobe.plots import DrawInputs, within
from pertprobe.roles import SUBJECT
from pertprobe.stages.measuring import read_measurement


def read_draw_inputs(files: Any, params: Any) -> DrawInputs:
    """Read what a probe draws.

    `files` is Snakemake's input with evidence, measurements, programs and tables; `params` has models, tables (their
    names), question, thresholds and ranges.
    """
    measurements = {name: read_measurement(path) for name, path in zip(params.models, files.measurements, strict=True)}
    named = [each.perturbation.values for each in measurements.values() if "perturbation" in each.coords]
    programs = run_programs(files.programs, params.question["programs"], {name for each in named for name in each})
    table = evidence.read(files.evidence)
    mine = within(table[table.role == SUBJECT], params.ranges)
    further = {
        name: pd.read_csv(path, sep="\t", dtype=AS_TEXT) for name, path in zip(params.tables, files.tables, strict=True)
    }
    return DrawInputs(mine, measurements, programs, params.question, further, params.thresholds)
