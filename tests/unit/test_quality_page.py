"""The page on prediction quality: figure, medians apart, gate, knock-outs, drift; one file that needs no other."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_report import Checked

from pertprobe.data.findings import Finding, census_table
from pertprobe.files import write_table
from pertprobe.plots import write_figure
from pertprobe.report.quality_figure import quality_figure
from pertprobe.report.quality_page import contents, write_quality_page
from pertprobe.stages.distribution import DRIFT_COLUMNS, KNOCKOUT_COLUMNS
from pertprobe.stages.quality import program_quality

PROGRAMS = {"good": ["a", "b"], "bad<i>": ["c"], "unasked": ["z"]}


def table():
    """Return a quality table of perturbations trained, held out, unknown, and one that cannot be judged."""
    rows = [
        ("a", "here", 0.8, 0.3, 0.6, 0.87), ("b", "here", 0.6, 0.2, -0.1, np.nan), ("c", "never", 0.1, 0.4, 0.5, 0.8),
        ("d", "unknown", np.nan, 0.1, np.nan, np.nan), ("e", "elsewhere", 0.5, 0.4, 0.7, 0.9),
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=["perturbation", "seen", "r", "r_mean_shift", "r_halves", "ceiling"])
    return found.assign(r_disattenuated=found.r / found.ceiling, n_cells=20)


def knockouts(n=12):
    rows = [(f"k{i:02}", value, 0.5, 0.5, float(i), i / 20, "") for i in range(n) for value in ("zero", "mean")]
    return pd.DataFrame(rows, columns=KNOCKOUT_COLUMNS)


GOOD = Finding("cells.a", "finite_values", "good", 0, 9, "")
CENSUS = [
    GOOD, Finding("cells.a", "empty_cells", "note", 2, 9, "space <X>: nothing but zeros in 2 of 9 cells"),
    Finding("models.m", "regime", "waived", 1, 1, "waived (regime): ..."),
]  # fmt: skip


def files(folder, knocked=None, quality=None, census=CENSUS):
    quality = table() if quality is None else quality
    drift = pd.DataFrame([{"context": "x", "compared": "y", "n_cells": 30, "ks_median": 0.1234}], columns=DRIFT_COLUMNS)
    tables = {"quality": quality, "programs": program_quality(quality, PROGRAMS), "drift": drift}
    tables["distribution"] = knockouts() if knocked is None else knocked
    for name, each in tables.items():
        write_table(each, folder / f"{name}.tsv")
    write_table(census_table([each._asdict() for each in census]), folder / "census.tsv")
    write_figure(quality_figure(quality), [folder / "m.svg"])
    by_model = {name: [folder / f"{name}.tsv"] for name in tables}
    return SimpleNamespace(**by_model, figures=[folder / "m.svg"], census=folder / "census.tsv")


PARAMS = SimpleNamespace(run="mine", models={"m": {"context": "line_a", "regime": "fewshot"}})


def page(folder, **given):
    write_quality_page(files(folder, **given), PARAMS, folder / "quality.html")
    return (folder / "quality.html").read_text(encoding="utf-8")


def test_the_page_needs_no_other_file_and_escapes_names(tmp_path):
    text = page(tmp_path)
    checked = Checked()
    checked.feed(text)
    assert checked.outside == ["report.html"]
    assert not {"link", "img", "iframe"} & set(checked.tags)
    assert len(checked.ids) == len(set(checked.ids))
    assert "<i>" not in text
    assert "bad&lt;i&gt;" in text
    assert text.count("<caption>") == text.count("<table class")


def test_trained_and_held_out_perturbations_stand_apart(tmp_path):
    (model,) = contents(files(tmp_path), PARAMS)["models"]
    rows = {row["seen"]: row for row in model["medians"]}
    assert {name: row["n"] for name, row in rows.items()} == {"all": 5, "trained here": 2, "held out": 2, "unknown": 1}
    assert rows["trained here"]["r"] == pytest.approx(0.7)
    assert rows["held out"]["r"] == pytest.approx(0.3)
    assert rows["unknown"]["r"] == 0
    assert {name: row["better"] for name, row in rows.items()} == {
        "all": 3, "trained here": 2, "held out": 1, "unknown": 0
    }  # fmt: skip


def test_programs_below_the_gate_come_first_and_those_not_judged_are_counted(tmp_path):
    (model,) = contents(files(tmp_path), PARAMS)["models"]
    assert [(row["program"], row["answer"]) for row in model["programs"]] == [("bad<i>", "below"), ("good", "pass")]
    assert (model["below"], model["unjudged"]) == (1, 1)
    text = page(tmp_path)
    assert "1 of 2 programs are below the gate" in text
    assert "does not beat the mean shift&#39;s 0.40" in text


def test_the_knock_outs_that_go_furthest_are_shown(tmp_path):
    (model,) = contents(files(tmp_path), PARAMS)["models"]
    assert [row["gene"] for row in model["worst"]][:4] == ["k00", "k00", "k01", "k01"]
    assert len(model["worst"]) == 10
    assert [(row["value"], row["n"], row["far"]) for row in model["knockouts"]] == [("zero", 12, 1), ("mean", 12, 1)]
    assert "0.123" in page(tmp_path)


def test_a_run_without_knock_outs_says_so(tmp_path):
    knocked = pd.DataFrame([{"note": "the run knocks nothing out"}], columns=KNOCKOUT_COLUMNS)
    text = page(tmp_path, knocked=knocked)
    assert "the run knocks nothing out" in text
    assert "Those that take cells furthest" not in text


def test_the_figure_shows_every_group_and_has_the_same_bytes_every_time(tmp_path):
    for name in ("one", "two"):
        write_figure(quality_figure(table()), [tmp_path / f"{name}.svg"])
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    for label in (
        "trained here (n = 2), median 0.70",
        "held out (n = 2), median 0.30",
        "unknown (n = 1)",
        "2 perturbations without",
    ):
        assert label in text


def test_a_figure_of_nothing_says_so(tmp_path):
    nothing = table().assign(r=np.nan)
    assert "No perturbation has both" in page(tmp_path, quality=nothing)


def test_the_census_shows_what_is_not_simply_good_the_gravest_first(tmp_path):
    shown = contents(files(tmp_path), PARAMS)["census"]
    assert (shown["checks"], shown["good"]) == (3, 1)
    assert [row["what"] for row in shown["rows"]] == ["regime", "empty_cells"]
    text = page(tmp_path)
    assert "1 of\n3 checks found all as it should be" in text
    assert "space &lt;X&gt;: nothing but zeros in 2 of 9 cells" in text


def test_a_run_that_makes_its_own_inputs_says_that_nothing_was_to_check(tmp_path):
    assert "there was nothing to check" in page(tmp_path, census=[])
