"""The page that tells a calibration says what its table says, of every kind of figure."""

import sys
from pathlib import Path

import pytest

from pertprobe.calibration import foreign, planted, table

DOCS = Path(__file__).resolve().parents[2] / "docs"
NULL, RIGHT, NEVER = table.FALSE_POSITIVES, foreign.RIGHT, foreign.TAKEN
WORLD = "panels, |J| grows"
AT_MOST, AT_LEAST = {"sense": "at most", "bound": 0.07, "level": 0.05}, {"sense": "at least", "bound": 0.9}
ROWS = [
    table.entry(NULL, "one", f"{WORLD}, 5 members", 0.06, 250, **AT_MOST),
    table.entry(NULL, "one", f"{WORLD}, 80 members", 0.18, 250, **AT_MOST),
    table.entry(NULL, "one", f"{WORLD}, all programs", 0.05, 1000, **AT_MOST),
    table.entry(NULL, "one, second", "unrelated models", 0.04, 250, **AT_MOST),
    table.entry(table.PUBLISHED, "one", f"{WORLD}, 5 members", 0.3, 250),
    table.entry(table.POWER, "one", "4 of 80, d = 2", 0.95, 200, **AT_LEAST),
    table.entry(table.POWER, "one", "15 of 80, d = 3", 1.0, 200, **AT_LEAST),
    table.entry(RIGHT, "a", "Hill kinetics, lookup", 0.95, 20, **AT_LEAST),
    table.entry(RIGHT, "a", "linear, hidden axes, lookup", 0.95, 20, **AT_LEAST),
    table.entry(NEVER, "a", "Hill kinetics, lookup", 0.01, 300, **AT_MOST),
    table.entry(planted.FIGURE, "one", "lookup, d = 2", 0.02, 320, **AT_MOST),
    table.entry(planted.FIGURE, "one", "lookup, d = 2", 0.5, 64, seed=1),
]  # fmt: skip


@pytest.fixture
def told(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import calibration_page

    yield calibration_page.page(table.frame(ROWS))
    sys.modules.pop("calibration_page")


def cells(told, first):
    """Return the cells of the rows of tables that begin with this one."""
    rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] == first]


def test_what_does_not_keep_its_bound_stands_first(told):
    assert "of 10 figures with a bound 9 keep it" in told
    world = WORLD.replace("|", "&#124;")
    assert cells(told, NULL) == [[NULL, "one", f"{world}, 80 members", "0.18", "at most 0.07", "250"]]


def test_each_kind_of_figure_is_told(told):
    world = WORLD.replace("|", "&#124;")
    nulls, power, model = cells(told, "one")[0], cells(told, "one")[1], cells(told, "one")[2]
    assert nulls == ["one", world, "0.05", "1000", "0.18", "0.3"]
    assert power == ["one", "-", "0.95", "-", "-", "-", "1"]
    assert model == ["one", "lookup, d = 2", "0.02", "at most 0.07", "320"]
    assert cells(told, "one, second") == [["one, second", "unrelated models", "0.04", "250", "-", "-"]]
    assert cells(told, "lookup") == [["lookup", "38 of 40", "3 of 300"]]


def test_a_calibration_that_keeps_all_bounds_lists_none(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import calibration_page

    kept = calibration_page.page(table.frame([row for row in ROWS if row["holds"] is not False]))
    assert "of 9 figures with a bound 9 keep it" in kept
    assert "Outside of their bounds" not in kept
    assert "Not made yet" not in kept


def test_parts_that_were_not_made_are_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import calibration_page

    (tmp_path / "parts").mkdir()
    table.write(table.frame(ROWS[:3]), tmp_path / "parts" / "nulls_knockout-00.tsv")
    rows, missing = calibration_page.made(tmp_path)
    assert len(rows) == 3
    assert "nulls_knockout-00" not in missing
    assert {"nulls_knockout-01", "foreign-19", "ceiling"} <= {*missing}
    told = calibration_page.page(rows, ["foreign-00", "foreign-01", "ceiling"])
    assert "**Not made yet**, and without figures below: `foreign` (2 seeds or worlds), `ceiling`." in told
