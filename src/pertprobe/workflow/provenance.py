"""Where a run's numbers come from: versions, hashes, seeds, the machine, and what each job took."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe.data.cell_sets import CellSets
from pertprobe.models.cards import read_card
from pertprobe.workflow.machine import machine, source
from pertprobe.workflow.usage import Usage, usages

PACKAGES = ("pertprobe", "torch", "numpy", "scipy", "pandas", "anndata", "xarray", "snakemake")
"""Libraries whose version can change a number."""


def provenance(
    checks: str | Path, cards: Mapping[str, str | Path], cells: Mapping[str, str | Path], seed: int
) -> dict[str, Any]:
    """Return versions, seeds, the hashes of everything read, the commit of the code, and the machine."""
    return {
        "seed": seed,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "inputs": json.loads(Path(checks).read_text()),
        "models": {name: read_card(path).get("sha256", {}) for name, path in cards.items()},
        "cells": {name: CellSets.load(path).hash for name, path in cells.items()},
        "code": source(),
        "machine": machine(),
    }


def run_times(logs: str | Path) -> pd.DataFrame:
    """Return rule, job, seconds, CPU seconds and peak memory (MB) of every job that was finished, by its log."""
    return pd.DataFrame(usages(logs), columns=Usage._fields)
