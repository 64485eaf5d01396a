"""The sizes of the calibration as the workflow gives them."""

from pathlib import Path

import yaml

from pertprobe.workflow.config import fill_in, whole_schema

ROOT = Path(__file__).resolve().parents[2]


def sizes(short):
    """Return all sizes of the calibration, full or of CI, with the schema's defaults."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    if short:
        config |= yaml.safe_load((ROOT / "config" / "calibration_short.yaml").read_text())
    fill_in(config, whole_schema(ROOT / "config" / "schema.yaml"))
    return config["calibration"]


def one_thread():
    """Give a process one thread, as every job of the workflow has."""
    import os

    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
