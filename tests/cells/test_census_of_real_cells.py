"""Real cells, the demo's, and checkpoints trained on both pass the census without a false alarm."""

import pytest

from pertprobe.data.programs import Programs
from pertprobe.data.simulate import simulate, write_simulation
from pertprobe.workflow.census import census_of, context_findings
from pertprobe.workflow.checks import read_inputs

PAPALEXI = {
    "context_column": "cell_context", "context": "rep_1", "perturbation_column": "perturbation",
    "batch_column": "batch", "control": "non-targeting", "space": "X", "set_size": 32, "n_sets": 3,
}  # fmt: skip
LINE_A = {
    "context_column": "cell_type", "context": "lineA", "perturbation_column": "gene", "batch_column": "gem_group",
    "control": "non-targeting", "space": "X_hvg", "set_size": 32, "n_sets": 3,
}  # fmt: skip
TRAINED = {
    "papalexi_fewshot_rep_1": PAPALEXI, "papalexi_zeroshot_rep_1": PAPALEXI, "st_fewshot_A": LINE_A,
    "st_zeroshot_A": LINE_A, "st_conf_fewshot_A": LINE_A,
}  # fmt: skip
LITTLE_TRAINED = {"st_nores_relu": LINE_A, "st_lora_fewshot_A": LINE_A}
FILES = {"rep_1": "data/papalexi_thp1_mini_mit.h5ad", "lineA": "state/lineA.h5ad"}


def config(shared_path, model, entry, **changes):
    given = {**entry, "path": str(shared_path(FILES[entry["context"]])), **changes}
    models = {"m": {"path": str(shared_path(f"state/{model}")), "context": "x"}}
    return {"run": "r", "cells": {"x": given}, "models": models, "programs": {"patterns": {"all": "."}}, "probes": {}}


@pytest.mark.parametrize("model", TRAINED)
def test_a_checkpoint_on_its_own_cells_has_nothing_that_is_odd(shared_path, model):
    found = {each.what: each.level for each in read_inputs(config(shared_path, model, TRAINED[model])).census}
    assert found.pop("split") == "uncheckable"
    assert set(found.values()) == {"good"}


@pytest.mark.parametrize("model", LITTLE_TRAINED)
def test_a_little_trained_checkpoint_has_a_note_and_no_fault(shared_path, model):
    found = {each.what: each for each in read_inputs(config(shared_path, model, LITTLE_TRAINED[model])).census}
    assert found["under_control"].level == "note"
    assert "away from the mean control cell of cells.x (a well trained model on its own cells: below 0.15)" in (
        found["under_control"].words
    )


def test_the_cells_of_the_demo_pass(tmp_path):
    write_simulation(simulate(seed=0), tmp_path)
    entry = {
        "path": str(tmp_path / "cells.h5ad"), "context_column": "cell_line", "context": "line_a",
        "perturbation_column": "gene", "batch_column": "batch", "control": "non-targeting", "space": "X_hvg",
        "genes": "var",
    }  # fmt: skip
    assert {each.level for each in context_findings({"cells": {"x": entry}}, "x", [])} == {"good"}
    assert census_of({"models": {}, "cells": {}}, {}, {}, Programs({}), []) == []
