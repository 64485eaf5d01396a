"""output_clustering, regime_agreement and conserved_features calibrated, in small: every part makes its rows."""

import pytest

from pertprobe.calibration import clustering, conservation, regimes

WORLD = {"genes": 120, "perturbations": 40, "programs": 4, "cells_per_perturbation": 10, "control_cells": 260}
MODULES = {"clustering": clustering, "regimes": regimes, "conservation": conservation}


@pytest.fixture(params=MODULES)
def module(request):
    return MODULES[request.param]


def test_strong_effects_are_found_and_weak_ones_seldom(module):
    rows = module.power({"draws": 15, "permutations": 99}, 0).set_index("setting").value
    assert rows["15 of 80, d = 3"] >= 0.8
    assert rows["3 of 80, d = 0.5"] <= 0.6


def test_planted_models_pass_and_what_holds_nothing_does_not(module):
    rows = module.planted({"simulate": WORLD, "d": 2, "permutations": 499}, 0)
    assert set(rows.seed) == {"0"}
    null = rows[rows.setting.str.contains("random|exchanged")]
    found = rows[rows.sense == "at least"]
    assert null.value.max() <= 0.25
    assert found.value.min() >= 0.75


def test_untrained_weights_have_all_three_rows(module):
    sizes = {"simulate": WORLD, "hidden": 16, "members": 4, "programs": 4, "permutations": 99}
    rows = module.untrained(sizes, 0)
    assert len(rows) == 6
    assert (rows.n == 4).all()
    assert rows[rows.setting.str.endswith("both")].value.max() <= 0.5
