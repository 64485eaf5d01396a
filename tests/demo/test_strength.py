"""The shipped demo is anchored to reality: its few-shot models predict about as well as real ones do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import context_source, read_cells
from pertprobe.data.observed import observe
from pertprobe.data.simulate import simulate, write_simulation
from pertprobe.models import load_model
from pertprobe.models.state.train import train
from pertprobe.probes.base import MeasureInputs, averaged
from pertprobe.probes.delta_y import measure, units
from pertprobe.stages.quality import response_correlation

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config" / "config.yaml").read_text())
COLUMNS = ("context_column", "perturbation_column", "batch_column", "control", "space")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_simulation(simulate(**CONFIG["simulate"], seed=CONFIG["seed"]), folder)
    return folder


def predicted_delta_y(model_directory: Path, cells: CellSets) -> pd.DataFrame:
    model = load_model(model_directory)
    inputs = MeasureInputs(model=model, cells=cells.for_genes(model.genes), settings={})
    return averaged(measure(inputs, units(inputs)), "delta_y").to_pandas()


def test_a_fewshot_model_of_the_demo_predicts_as_well_as_real_ones(simulated: Path) -> None:
    """0.5-0.8, the Papalexi few-shot models having 0.62-0.66; the demo's own page on quality shows all models."""
    name, entry = next((name, entry) for name, entry in CONFIG["models"].items() if entry["regime"] == "fewshot")
    where = {**CONFIG["cells"][entry["context"]], "path": simulated / "cells.h5ad"}
    sizes = {"context": where["context"], "regime": "fewshot", "set_size": where["set_size"], "seed": CONFIG["seed"]}
    columns = {column: where[column] for column in COLUMNS}
    train(where["path"], output=simulated / name, **sizes, **columns, **entry["train"])
    drawn = {key: where[key] for key in ("set_size", "n_sets")} | {"seed": CONFIG["seed"]}
    predicted = predicted_delta_y(simulated / name, read_cells(where["path"], **context_source(where), **drawn))
    card = {"genes": list(predicted.columns), "output_genes": list(predicted.columns), "capabilities": ["gene_space"]}
    observed = observe(where["path"], card, where, seed=CONFIG["seed"])["delta_y"].to_pandas()
    r = response_correlation(predicted, observed)
    assert 0.5 <= np.median(r.r) <= 0.8
    assert np.median(r.r) > np.median(r.r_mean_shift) + 0.1
