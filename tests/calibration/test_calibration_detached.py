"""detached_jacobian and input_sensitivity calibrated, in small: every part makes its rows, and the bounds hold."""

import numpy as np
import pytest

from pertprobe.calibration import detached, sensitivity
from pertprobe.probes.detached_jacobian import shared_part

POWER = {"draws": 20, "permutations": 99}
WORLD = {"genes": 120, "perturbations": 40, "programs": 4, "cells_per_perturbation": 10, "control_cells": 200}
MODULES = {"detached": detached, "sensitivity": sensitivity}


@pytest.fixture(params=MODULES)
def module(request):
    return MODULES[request.param]


def test_larger_effects_are_found_more_often(module):
    rows = module.power(POWER, 0).set_index("setting").value
    assert rows["15 of 80, d = 3"] > rows["15 of 80, d = 0.5"]
    assert rows["15 of 80, d = 3"] > 0.9


def test_parts_without_signal_are_parts_of_their_responses():
    made = detached.parts(np.random.default_rng(0))
    assert made.cells.shape == made.whole.shape
    assert 0 < np.corrcoef(made.cells.ravel(), made.whole.ravel())[0, 1] < 1
    np.testing.assert_array_equal(made.similarity, shared_part(made.cells, made.whole))


def test_what_is_looked_up_is_not_found(module):
    rows = module.planted({"simulate": WORLD, "d": 2, "permutations": 199}, 0)
    found = rows.set_index("setting").value
    strong = {setting: value for setting, value in found.items() if setting.endswith("d = 3")}
    for setting, value in strong.items():
        if "mechanistic" in setting and "random" not in setting:
            assert value > 0.5, setting
        else:
            assert value <= 0.25, setting


def test_untrained_weights_make_their_rows(module):
    sizes = {"simulate": WORLD, "hidden": 16, "members": 4, "programs": 2, "permutations": 99}
    rows = module.untrained(sizes, 0)
    assert rows.setting.str.endswith(("p < 0.05", "exceeds_redrawn", "both")).all()
    assert (rows.n == 2).all()
    assert len(rows) == 6
