"""What the calibrations of all probes share: default thresholds, a job for each part, nulls that hold their rate."""

from importlib import import_module
from inspect import isfunction, signature

import pytest

from pertprobe.calibration.parts import PARTS
from pertprobe.probes.declaration import declared

MODULES = {name: import_module(f"pertprobe.calibration.{name}") for name in {part.module for part in PARTS.values()}}
JUDGED = sorted(name for name, module in MODULES.items() if hasattr(module, "NAME") and hasattr(module, "CONDITIONS"))
NULLS = {"draws": 60, "draws_dear": 20, "published": 10, "permutations": 99}


def test_every_probe_with_thresholds_of_its_own_is_compared():
    assert {"clustering", "concepts", "conservation", "detached", "diagonal", "divergence", "linearity", "patching",
            "recovery", "regimes", "routing"} == set(JUDGED)  # fmt: skip


@pytest.mark.parametrize("name", JUDGED)
def test_conditions_are_the_default_ones(name):
    assert list(declared(MODULES[name].NAME).thresholds) == MODULES[name].CONDITIONS


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_part_is_a_job(name):
    made = {key: signature(each).parameters for key, each in vars(MODULES[name]).items()
            if isfunction(each) and each.__module__ == MODULES[name].__name__ and not key.startswith("_")}  # fmt: skip
    asked = {key: {True, False} if "confounded" in takes else {None} for key, takes in made.items()
             if list(takes)[:2] == ["sizes", "seed"]}  # fmt: skip
    mine = [part for part in PARTS.values() if part.module == name]
    assert {(part.function, part.confounded) for part in mine} == {(key, way) for key in asked for way in asked[key]}


@pytest.mark.parametrize("confounded", [False, True], ids=["uniform", "confounded"])
@pytest.mark.parametrize("name", ["clustering", "regimes", "conservation", "detached", "sensitivity"])
def test_worlds_without_signal_pass_no_more_than_chance(name, confounded):
    rows = MODULES[name].nulls(NULLS, 0, confounded=confounded)
    judged = rows[rows.holds.notna()]
    assert MODULES[name].NAME in set(rows.probe)
    assert len(judged) >= 4
    assert judged.holds.all(), judged[~judged.holds.astype(bool)].to_string()
