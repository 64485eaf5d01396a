"""What a run allows derivatives to hold reaches every probe that takes them, and does not show in its numbers."""

import logging
import re
from pathlib import Path

import pytest
import torch
import xarray as xr
from tiny import cell_sets, random_state, to_measure

from pertprobe.probes import load_probe

PANELS = {"p": {"regulators": ["g00", "g01"], "targets": ["g05", "g08"]}}
SILENCED = {"genes": "all", "value": "zero", "perturbation": "control"}
PROBES = {
    "targeted_jacobian": {"at": "cells", "derivative": "total"},
    "cell_diagonal": {"error": 0.1, "copy_sets": 1},
    "knockout": SILENCED,
    "knockout_linearity": SILENCED,
    "regulon_recovery": SILENCED,
    "routing_coherence": {"at": "mean_cell", "sketch": 64, "clusters": 2, "perturbations": "all", "choose": "random"},
    "jacobian_divergence": {"sketch": 64, "perturbations": "all"},
}
BATCH = re.compile(r"batches of (\d+) perturbations: \d+ done")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def measured(probe, memory_gb, caplog):
    """Return a measurement, and the sizes of the batches it was made in."""
    cells = cell_sets()
    given = {"settings": PROBES[probe], "panels": PANELS, "contexts": (cells,), "memory_gb": memory_gb}
    inputs = to_measure(random_state(), cells, **given)
    caplog.clear()
    with torch.no_grad(), caplog.at_level(logging.INFO):
        found = load_probe(probe).measure(inputs, ["g00", "g01", "g02"])
    return found, {int(size) for size in BATCH.findall(caplog.text)}


@pytest.mark.parametrize("probe", PROBES)
def test_a_smaller_budget_makes_smaller_batches_and_the_same_numbers(probe, caplog):
    wanted, large = measured(probe, 1.0, caplog)
    found, small = measured(probe, 1e-9, caplog)
    assert max(large) > 1
    assert small == {1}
    xr.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)  # measurements are kept in float32


def test_every_script_that_measures_gives_what_the_config_allows():
    measuring = [path for path in SCRIPTS.glob("*.py") if "stages.measuring_files" in path.read_text()]
    assert len(measuring) == 2
    assert [path for path in measuring if 'snakemake.config["memory_gb"]' not in path.read_text()] == []
