"""Figures: one for every outcome, the same bytes every time."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import cell_sets, profiles, subject, to_test

from pertprobe import evidence, plots
from pertprobe.data.programs import Programs
from pertprobe.plots import DrawInputs, Drawn, write_figure
from pertprobe.probes import load_probe
from pertprobe.probes.declaration import declared
from pertprobe.report.verdict_matrix import verdict_matrix
from pertprobe.stages.testing import TestCase, run_test

NAMES = [f"p{i:02d}" for i in range(16)]
PROGRAMS = {"P": NAMES[:5], "long_name_with_<b>&": NAMES[6:10], "few": ["absent"]}
PANEL = {"program": "P", "regulators": ["g00", "g01"], "targets": ["g05", "g06"]}
PAIRS = [f"{a}>{b}" for b in PANEL["targets"] for a in PANEL["regulators"]]
PROBES = ["pert_embedding", "sae_features", "targeted_jacobian", "knockout"]


def measured(probe, seed):
    """Return a random measurement of a probe."""
    values = np.random.default_rng(seed).normal(size=(len(NAMES), 12))
    values[:5] += 2 * values[0]
    features = [f"h{i}" for i in range(12)]
    if probe == "pert_embedding":
        return profiles("embedding", values, NAMES, features).isel(set=0)
    if probe == "sae_features":
        states = profiles("hidden", values, NAMES, features, feature="dimension")
        return profiles("activation", values, NAMES, features).merge(states)
    if probe == "knockout":
        return profiles("shift", values, NAMES, features, feature="gene")
    controls = json.dumps({"panel": {"regulators": [], "targets": []}})
    found = profiles("jacobian", values[:, :4], NAMES, PAIRS, batch="", control_pairs=controls)
    every = np.ones((len(NAMES), 2)), NAMES, PANEL["targets"]
    return xr.merge([found, *(profiles(name, *every, feature="gene") for name in ("open", "gain"))])


def drawn_from(probe, programs=PROGRAMS):
    """Return what a probe draws: two models, their pair, and one panel."""
    settings, panels = {"neighbours": 3}, {}
    if probe == "targeted_jacobian":
        from pertprobe.data.programs import read_panels

        panels = read_panels({"panel": PANEL}, Programs(programs), NAMES)
    found = {name: measured(probe, seed) for seed, name in enumerate(("a", "b"))}
    cells = cell_sets(genes=tuple(NAMES)) if probe == "knockout" else cell_sets()
    given = {"settings": settings, "panels": panels, "cells": cells, "comparison": "contexts"}
    tables = []
    for name, other in (("a", None), ("b", None), ("a", "b")):
        identity = {"probe": probe, "model": name, "reference": other or "", "context": "here", "regime": "fewshot"}
        pair = subject(found[other]) if other else None
        inputs = to_test(probe, subject(found[name]), programs, reference=pair, **{**given, "identity": identity})
        tables.append(run_test(probe, TestCase(inputs)))
    table = evidence.with_q(pd.concat(tables, ignore_index=True), declared(probe).primary, declared(probe).compared_in)
    question = {"settings": settings, "panels": {"panel": PANEL}, "models": {"a": {}, "b": {}}}
    return DrawInputs(table, found, Programs(programs), question)


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_draws_a_figure_with_the_same_bytes_every_time(tmp_path, probe):
    inputs = drawn_from(probe)
    for name in ("one", "two"):
        drawn = load_probe(probe).draw(inputs)
        assert isinstance(drawn, Drawn)
        assert drawn.caption.endswith(".")
        write_figure(drawn, [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"])
    one, two = ((tmp_path / f"{name}.svg").read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"<dc:date>" not in one
    assert b"<b>" not in one
    assert (tmp_path / "one.png").stat().st_size > 1000


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_draws_a_figure_where_nothing_could_be_tested(tmp_path, probe):
    for table in (evidence.frame([]), drawn_from(probe, {"P": ["absent"]}).evidence.assign(evaluable=False)):
        table = table.assign(estimate=np.nan)
        figure = load_probe(probe).draw(DrawInputs(table, {}, Programs(PROGRAMS), {"models": {"a": {}}}))
        write_figure(figure, [tmp_path / "f.svg"])
        assert plots.NOTHING_TESTED.split(":")[0] in (tmp_path / "f.svg").read_text()


def verdict_rows(*rows):
    columns = ["probe", "model", "reference", "program", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def texts_of(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_matrix_shows_every_answer_in_words_too(tmp_path):
    table = verdict_rows(
        ("one", "a", "", "P", "pass"), ("one", "b", "", "P", "fail"), ("two", "a", "b", "P", "not evaluable"),
        ("two", "a", "", "P", "pass"), ("two", "a", "", "P", "fail"), ("one", "a", "", "unasked", "not evaluable"),
    )  # fmt: skip
    figure, caption, further = verdict_matrix(table, ["a", "b"], {"causal": ["one", "two"]})
    assert not further
    above, below = figure.axes
    assert [text.get_text() for text in below.texts] == ["pass", "fail", "mixed", "n.e."]
    assert [label.get_text() for label in below.get_xticklabels()] == ["a", "b", "a", "a vs b"]
    assert [label.get_text() for label in below.get_yticklabels()] == ["P"]
    assert [text.get_text() for text in above.texts] == ["1", "0", "0", "0", "one", "two"]  # how many passed, probes
    assert "1 programs that no probe could evaluate have no row" in caption
    write_figure(figure, [tmp_path / "m.svg"])


def test_the_matrix_has_columns_in_the_order_of_levels_and_models():
    table = verdict_rows(*((probe, model, "", "P", "pass") for probe in ("z", "y") for model in ("b", "a")))
    figure = verdict_matrix(table, ["b", "a"], {"representation": ["y"], "causal": ["z"]}).figure
    assert [text for text in texts_of(figure) if text in ("y", "z")] == ["y", "z"]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["b", "a", "b", "a"]


def test_a_matrix_of_many_programs_counts_all_and_shows_those_that_pass_most():
    verdicts = ("pass", "fail", "not evaluable")
    rows = [
        (f"probe_{i}", model, "", f"program_{j:03d}", verdicts[(i + j) % 3] if j >= 10 else "pass")
        for i in range(16) for model in "abcd" for j in range(200)
    ]  # fmt: skip
    drawn = verdict_matrix(verdict_rows(*rows), list("abcd"), {"causal": [f"probe_{i}" for i in range(16)]})
    above, below = drawn.figure.axes
    heights = np.sum([[bar.get_height() for bar in each] for each in above.containers], axis=0)
    assert heights.tolist() == [200] * 64
    shown = [label.get_text() for label in below.get_yticklabels()]
    assert shown[:10] == [f"program_{j:03d}" for j in range(10)]
    assert f"Drawn are the {len(shown)} programs that pass most, of 200" in drawn.caption
    assert drawn.figure.get_size_inches()[1] <= 170 / 25.4


@pytest.mark.parametrize("rows", [[], [("one", "a", "", "P", "not evaluable")]])
def test_a_matrix_of_nothing_says_so(rows):
    figure = verdict_matrix(verdict_rows(*rows), ["a"], {"causal": ["one"]}).figure
    assert texts_of(figure) == [plots.NOTHING_TESTED]


def test_a_figure_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        write_figure(plots.nothing_to_draw("text"), [tmp_path / "f.nonsense"])
    assert list(tmp_path.iterdir()) == []
