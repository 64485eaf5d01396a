"""output_clustering, regime_agreement and conserved_features calibrated, in small: every part makes its rows."""

from pathlib import Path

import pytest
import yaml

from pertprobe.calibration import clustering, conservation, regimes
from pertprobe.calibration.parts import PARTS

SCHEMA = yaml.safe_load((Path(__file__).resolve().parents[2] / "config" / "schema.yaml").read_text(encoding="utf-8"))
NULLS = {"draws": 40, "draws_dear": 20, "published": 10, "permutations": 99}
WORLD = {"genes": 120, "perturbations": 40, "programs": 4, "cells_per_perturbation": 10, "control_cells": 260}
MODULES = {"clustering": clustering, "regimes": regimes, "conservation": conservation}


@pytest.fixture(params=MODULES)
def module(request):
    return MODULES[request.param]


def test_conditions_are_the_default_ones(module):
    default = SCHEMA["properties"]["thresholds"]["properties"][module.NAME]["default"]
    assert [list(each) for each in module.CONDITIONS] == default


def test_every_part_is_a_job(module):
    mine = {part.function for part in PARTS.values() if part.module == module.__name__.rpartition(".")[2]}
    assert mine == {"planted", "untrained", "nulls_uniform", "nulls_confounded", "power"}


@pytest.mark.parametrize("way", ["nulls_uniform", "nulls_confounded"])
def test_worlds_without_signal_pass_no_more_than_chance(module, way):
    rows = getattr(module, way)(NULLS, 0)
    judged = rows[rows.holds.notna()]
    assert module.NAME in set(rows.probe)
    assert len(judged) >= 5
    assert judged.holds.all(), judged[~judged.holds.astype(bool)].to_string()


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
