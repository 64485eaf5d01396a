"""The calibration of cell_diagonal: settings are the default ones, and the planted share is found."""

from pertprobe.calibration import diagonal, nulls, world
from pertprobe.probes.declaration import declared

SIZES = {"simulate": {"genes": 90, "perturbations": 24, "programs": 4, "cells_per_perturbation": 10}, "d": 3.0,
         "permutations": 199}  # fmt: skip


def test_settings_are_the_default_ones():
    settings = declared("cell_diagonal").settings
    assert {name: each["default"] for name, each in settings.items()} == world.SETTINGS["cell_diagonal"]
    assert settings["error"]["default"] == nulls.ESTIMATED


def test_what_was_planted_across_cells_is_what_is_found():
    table = diagonal.planted(SIZES, 0).set_index("setting")
    for words in ("mechanistic", "lookup", "co-variation"):
        assert table.loc[f"{words}, crossing share within 0.02"].value == 1.0
    assert table.loc["lookup"].value == table.loc["co-variation"].value == 0.0


def test_a_wrong_crossing_share_is_seen(monkeypatch):
    right = diagonal._crossing
    monkeypatch.setattr(diagonal, "_crossing", lambda *given: right(*given) + 0.1)
    table = diagonal.planted(SIZES, 0).set_index("setting")
    assert table.loc["mechanistic, crossing share within 0.02"].value == 0.0
