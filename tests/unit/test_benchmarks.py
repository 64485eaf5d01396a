"""The table of benchmarks: what its columns mean, and that what is kept and shown is one run."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
ATLAS = "atlas of 2,024 perturbations at the mean cell"


def loaded(name):
    """Yield a module of benchmarks/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture(scope="module")
def measure():
    yield from loaded("measure")


@pytest.fixture
def house():
    yield from loaded("house")


LIMITS = {"ratio": ("at least", 7.0), "peak_mb": ("at most", 1500.0)}


@pytest.mark.parametrize(
    ("ratio", "peak", "holds"), [(8.0, 900.0, True), (7.0, 1500.0, True), (6.9, 900.0, False), (8.0, 1501.0, False)]
)
def test_a_bound_holds_where_every_limit_does(measure, ratio, peak, holds):
    row = measure.Row("work", ratio=ratio, peak_mb=peak, limits=LIMITS)
    assert row.holds is holds
    assert row.bound == "ratio >= 7; peak_mb <= 1500"


def test_a_row_without_a_bound_neither_holds_nor_fails(measure):
    assert measure.Row("work", seconds=1.0).holds is None


def test_a_value_is_bounded_in_its_own_unit(measure):
    row = measure.Row("disk", value=755.0, unit="MB", limits={"value": ("at most", 1000.0)})
    assert (row.bound, row.holds) == ("MB <= 1000", True)


def test_a_row_survives_being_written(measure):
    row = measure.Row("work", "rival", 1.5, 3.0, limits=LIMITS, peak_mb=10.0, note="once")
    assert measure.row_of(json.loads(json.dumps(row.entry()))) == row


@pytest.mark.parametrize(("power", "expected"), [(1.0, 1.0), (2.0, 2.0), (0.0, 0.0)])
def test_the_exponent_is_the_power_of_growth(measure, power, expected):
    sizes = [25, 50, 100, 200]
    assert measure.exponent(sizes, [3.0 * n**power for n in sizes]) == pytest.approx(expected, abs=1e-9)


def test_seconds_are_the_median_of_the_repeats(measure, monkeypatch):
    times = iter([0.0, 1.0, 0.0, 5.0, 0.0, 2.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(times))
    assert measure.seconds(lambda: None, 3) == 2.0


def test_the_kept_tables_are_of_one_run_and_their_bounds_are_judged_by_their_numbers(measure):
    table = pd.read_csv(FOLDER / "table.tsv", sep="\t")
    rows = [measure.row_of(entry) for entry in json.loads((FOLDER / "table.json").read_text())["rows"]]
    assert tuple(table.columns) == measure.COLUMNS
    assert table.work.tolist() == [row.work for row in rows]
    for row, kept in zip(rows, table.itertuples(), strict=True):
        assert (row.holds is None) == (not isinstance(kept.holds, bool | str))
        assert row.holds is None or str(kept.holds) == str(row.holds)
        assert row.seconds is None or math.isclose(row.seconds, kept.seconds, abs_tol=0.005)


def test_the_readme_says_what_was_measured():
    shown = " ".join((ROOT / "README.md").read_text().split())
    demo = json.loads((FOLDER / "demo.json").read_text())["measured"]
    table = pd.read_csv(FOLDER / "table.tsv", sep="\t").set_index("work")
    one, atlas = table.loc["dY/dpert_repr, one perturbation, S = 64"].iloc[0], table.loc[ATLAS]
    assert f": {demo['demo_seconds'] / 60:.0f} minutes and {demo['demo_peak_gb']:.1f} GB of memory on 2 cores" in shown
    assert f"takes {one.seconds:.1f} s, {one.ratio:.0f} times as fast as torch's own" in shown
    assert f"2,024 together {atlas.seconds:.0f} s" in shown


def test_everything_that_is_bounded_is_in_the_table():
    works = " ".join(pd.read_csv(FOLDER / "table.tsv", sep="\t").work)
    for word in ("dY/dpert_repr", "targeted panel", "atlas", "cell_diagonal", "200 knock-outs", "permutations",
                 "1,000,000", "growth", "workflow itself"):  # fmt: skip
        assert word in works


def test_the_page_on_scaling_shows_what_the_measured_rates_say():
    said = subprocess.check_output([sys.executable, FOLDER / "scaling.py"], text=True)
    page = (ROOT / "docs/scaling.md").read_text()
    assert len(said.splitlines()) > 5
    assert [line for line in said.splitlines() if line not in page] == []


def test_the_size_of_the_house_counts_code_alone_and_functions_stay_short(house):
    head = '"""Module."""\nimport os\n\nX = 1  # why\n\n\n'
    text = head + '@cache\ndef f(\n    a,\n):\n    """Docstring."""\n    # why\n    return a\n'
    assert (house.code_lines(text), house.function_lengths(text)) == (2, [6])
    lengths = [n for path in house.LIBRARY.rglob("*.py") for n in house.function_lengths(path.read_text())]
    assert [sorted(lengths)[int(q * len(lengths))] <= most for q, most in ((0.5, 7), (0.9, 19))] == [True, True]
    assert max(lengths) <= 60
