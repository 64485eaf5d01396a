"""State-like models trained on foreign screens: what they are trained with, and what is judged of them."""

import numpy as np
import pandas as pd
import pytest

from pertprobe.calibration import statelike
from pertprobe.calibration.foreign import RIGHT, TAKEN, screens
from pertprobe.calibration.statelike import LEARNED, rows_of, trained_on
from pertprobe.calibration.table import frame, gathered
from pertprobe.data.networks.screen_file import SOURCE, write_screen
from pertprobe.data.observed import observe

TINY = {
    "worlds": ["contexts"], "permutations": 99, "steps": 2,
    "screen": {"genes": 60, "regulators": 30, "unmeasured": 3, "knockdowns": 15, "cells": 30, "controls": 200},
}  # fmt: skip


@pytest.fixture(scope="module")
def screen():
    ((_, found),) = screens(TINY, 0)
    return found


def answered(accuracy_low, answer="lookup", programs=("lookup", "mechanism", "unresolved")):
    """Return the answers of a model, and of programs in it."""
    table = pd.DataFrame({"program": ["", *map(str, range(len(programs)))], "answer": [answer, *programs]})
    return table.assign(accuracy=0.7, accuracy_low=accuracy_low, fidelity=0.0)


def judged(table):
    return frame(rows_of(table, "a screen", 0)).set_index("figure")


def test_what_is_read_of_the_file_of_a_screen_is_the_screen(screen, tmp_path):
    write_screen(screen, tmp_path / "cells.h5ad")
    context = str(screen.contexts[0])
    card = {"genes": screen.genes, "output_genes": screen.genes, "capabilities": ["gene_space"]}
    observed = observe(tmp_path / "cells.h5ad", card, {**SOURCE, "context": context}, seed=0)
    assert tuple(observed.perturbation.values) == screen.knocked
    np.testing.assert_allclose(observed["delta_y"], screen.mean_shifts(context), atol=1e-5)
    assert observed.sizes["batch"] == len(set(screen.batches))


def test_a_model_is_measured_in_control_cells_and_does_not_see_what_is_held_out(screen):
    found = trained_on(screen, 2, 0)
    assert set(found.subject.measurement.data_vars) == {"shift", "response"}
    assert found.subject.measurement.attrs["encoder_saw_perturbed"] == "False"
    assert found.subject.seen.value_counts().to_dict() == {"here": 12, "elsewhere": 3}
    controls = screen.values[screen.perturbations == "non-targeting"].astype(np.float32)
    cells = found.cells.values.reshape(-1, len(screen.genes))
    assert (cells[:, None] == controls[None]).all(-1).any(-1).all()


def test_of_a_model_that_learned_nothing_the_answer_is_not_judged(monkeypatch):
    monkeypatch.setattr("pertprobe.models.rivals.autoencoder.STEPS", 2)
    table = statelike.statelike(TINY, 0).set_index("figure")
    assert list(table.index) == [LEARNED, RIGHT, TAKEN]
    assert table.value[LEARNED] == 0
    assert list(table.n) == [1, 0, 0]
    assert table.note[RIGHT].startswith("not evaluable: accuracy")
    whole = gathered([table.reset_index()]).set_index(["figure", "seed"]).holds
    assert not whole[RIGHT, ""]
    assert not whole[TAKEN, ""]


def test_only_a_lookup_is_the_right_answer_of_a_model_that_learned():
    table = judged(answered(0.5))
    assert (table.value[RIGHT], table.n[TAKEN], table.note[LEARNED]) == (1, 3, "accuracy 0.70")
    assert table.value[TAKEN] == pytest.approx(1 / 3)
    assert judged(answered(0.5, "co-variation")).value[RIGHT] == 0
    assert list(judged(answered(0.2)).n) == [1, 0, 0]
    assert list(judged(answered(np.nan)).n) == [1, 0, 0]
