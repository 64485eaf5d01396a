"""detached_jacobian: from a request to a measurement, rows, tables and a figure."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from tiny import GENES, PERTURBATIONS, MeanShift, cell_sets, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.interpret.sources import SOURCES
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.plots import DrawInputs, write_figure
from pertprobe.probes import detached_jacobian as probe
from pertprobe.probes import detached_tables as made
from pertprobe.probes.base import NOT_EVALUABLE, Subject, TableInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.stages.measuring import measure_derived, measure_shard
from pertprobe.stages.testing import TestCase, run_test
from pertprobe.statistics.similarity import centred, cosine_similarity
from pertprobe.workflow.checks import _unknown_perturbations

NAMES = sorted(set(PERTURBATIONS) - {"ctrl"})
JUDGED = declared("detached_jacobian").primary, declared("detached_jacobian").compared_in
SETTINGS = {"at": ["control", "x2"], "vectors": 3, "copy_sets": 1}
PROGRAMS = {"P": NAMES[:4], "Q": NAMES[3:7], "few": ["absent"]}
EXPECTED = {
    "delta_y": {"perturbation": 9, "gene": 12}, "through_cells": {"perturbation": 9, "gene": 12},
    "sources": {"perturbation": 9, "source": 6, "gene": 12}, "shares": {"perturbation": 9, "set": 2, "source": 6},
    "gene_routes": {"perturbation": 9, "feature": 12}, "agreement": {"perturbation": 9}, "error": {"perturbation": 9},
    "values": {"at": 2, "rank": 3}, "input_vectors": {"at": 2, "rank": 3, "feature": 12},
    "output_vectors": {"at": 2, "rank": 3, "gene": 12}, "effective_rank": {"at": 2, "map": 2},
    "layer_rank": {"at": 2, "map": 2, "layer": 3}, "cosine": {"at": 2}, "overlap": {"at": 2, "side": 2},
    "lanczos_error": {"at": 2},
}  # fmt: skip


def measured(model=None, shard=0, shards=1, **more):
    model = random_state(dtype=torch.float32) if model is None else model
    return measure_shard("detached_jacobian", to_measure(model, settings=SETTINGS), shard, shards, **more)


@pytest.fixture(scope="module")
def measurement():
    return measured(redrawn=1, seed=3)


def asked(measurement, programs=PROGRAMS, **more):
    return to_test("detached_jacobian", subject(measurement), programs, settings=SETTINGS, **more)


def test_everything_is_labelled(measurement):
    mine = measurement.sel(variant="subject")
    assert {name: dict(each.sizes) for name, each in mine.data_vars.items()} == EXPECTED
    assert mine.perturbation.values.tolist() == NAMES
    assert mine.feature.values.tolist() == list(GENES)
    assert mine["at"].values.tolist() == ["control", "x2"]
    assert np.isfinite(mine.to_array().values[~mine.to_array().isnull()]).all()


def test_a_float32_model_is_reconstructed_in_float64(measurement):
    assert (measurement["error"] < 1e-12).all()
    assert (measurement["lanczos_error"] < 1e-8).all()
    np.testing.assert_allclose(measurement["shares"].sum("source"), 1, rtol=1e-10)


def test_delta_y_is_what_the_model_predicts(measurement):
    model, cells = random_state(dtype=torch.float32), cell_sets()
    wanted = [
        (model.predict(cells.values, name, cells.batches) - model.predict(cells.values, "ctrl", cells.batches))
        .mean((0, 1))
        .numpy()
        for name in NAMES
    ]
    np.testing.assert_allclose(measurement["delta_y"].sel(variant="subject"), wanted, atol=1e-5)


def test_copies_have_what_they_are_compared_in_and_no_more(measurement):
    with_copies = [name for name, each in measurement.data_vars.items() if "variant" in each.dims]
    assert with_copies == ["delta_y", "through_cells"]
    assert measurement.variant.values.tolist() == ["subject", "redrawn_1", "shuffled_1"]


def test_a_model_that_is_no_sum_of_parts_is_told_what_it_lacks():
    found = measured(MeanShift())
    assert found.attrs[NOT_EVALUABLE] == "model has no affine_map"
    rows = run_test("detached_jacobian", TestCase(asked(found)))
    assert rows.program.tolist() == sorted(PROGRAMS)
    assert not rows.evaluable.any()


def test_parts_of_a_cosine_sum_to_it():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(3, 8, 5))
    parts[:, 2] = 0.0
    whole = parts.sum(0)
    found = sum(probe.shared_part(part, whole) for part in parts)
    np.testing.assert_allclose(found, cosine_similarity(centred(whole)), atol=1e-12)
    assert (probe.shared_part(np.zeros((8, 5)), whole) == 0).all()
    slow = np.array([[_slow(parts[0], whole, i, j) for j in range(8)] for i in range(8)])
    np.testing.assert_allclose(probe.shared_part(parts[0], whole), slow, atol=1e-12)


def _slow(part, whole, i, j):
    c, y = part - part.mean(0), whole - whole.mean(0)
    return (c[i] @ y[j] + y[i] @ c[j]) / 2 / (np.linalg.norm(y[i]) * np.linalg.norm(y[j]))


def test_every_program_has_a_row_of_each_statistic(measurement):
    table = run_test("detached_jacobian", TestCase(asked(measurement)))
    mine = rows_of(table, role="subject")
    for statistic in declared("detached_jacobian").statistics:
        rows = rows_of(mine, statistic=statistic).set_index("program")
        assert sorted(rows.index) == sorted(PROGRAMS)
        assert not rows.evaluable["few"]
        assert "needed" in rows.reason["few"]
        assert rows.estimate[["P", "Q"]].notna().all()
    assert set(rows_of(mine, unit="gene").statistic) == {"input_loading", "output_loading"}
    assert rows_of(mine, statistic="through_cells", program="P").excess_redrawn.notna().all()


def test_sources_of_a_programs_coherence_sum_to_that_of_its_responses(measurement):
    mine = measurement.sel(variant="subject")
    whole = mine["delta_y"].values
    found = [probe.shared_part(mine["sources"].sel(source=name).values, whole) for name in mine.source.values]
    np.testing.assert_allclose(sum(found), cosine_similarity(centred(whole)), atol=1e-5)


def test_a_model_that_is_not_decomposed_says_so(measurement):
    bare = measurement.drop_vars(["values", "input_vectors", "output_vectors"])
    rows = rows_of(evidence.frame(ask("detached_jacobian", asked(bare))), statistic="input_loading")
    assert rows.reason.unique().tolist() == [probe.UNDECOMPOSED]


def test_loadings_do_not_depend_on_signs(measurement):
    turned = measurement.assign(input_vectors=-measurement["input_vectors"])
    pd.testing.assert_series_equal(probe.loadings(measurement, "feature"), probe.loadings(turned, "feature"))
    first = measurement.isel(at=0)
    by_hand = ((first["input_vectors"] * first["values"]) ** 2).sum("rank").values
    np.testing.assert_allclose(probe.loadings(measurement, "feature").to_numpy(), by_hand)


def test_genes_with_the_largest_loadings_rank_highest(measurement):
    energy = probe.loadings(measurement, "gene")
    top, last = energy.nlargest(4).index.tolist(), energy.nsmallest(4).index.tolist()
    rows = evidence.frame(ask("detached_jacobian", asked(measurement, {"top": top, "last": last})))
    found = rows_of(rows, statistic="output_loading").set_index("program").estimate
    assert found["top"] == pytest.approx(10 / 12)
    assert found["last"] == pytest.approx(2 / 12)


@pytest.fixture(scope="module")
def planted():
    """A world of 60 genes and 40 perturbations, its three planted models measured, and the programs."""
    genes = tuple(f"g{i:02d}" for i in range(60))
    cells = cell_sets(n_sets=1, set_size=30, genes=genes, batches=False)
    names = [f"p{i:02d}" for i in range(40)]
    programs = {f"P{k}": names[6 * k : 6 * k + 6] for k in range(3)}
    models = planted_models(
        genes=genes, perturbations=names, control="ctrl", cells=cells, programs=programs, d=4.0, seed=1
    )
    inputs = to_measure(None, cells, settings=SETTINGS)
    return measure_derived("detached_jacobian", inputs, models), programs, cells


def test_mechanisms_are_found_and_what_is_looked_up_is_not(planted):
    found, programs, cells = planted
    strength = pd.Series(np.linalg.norm(found["delta_y"].sel(variant="planted"), axis=1), found.perturbation.values)
    for kind in ("planted", "lookup", "covariation"):
        measured = Subject(found.sel(variant=kind, drop=True), strength, pd.Series("here", strength.index))
        inputs = to_test("detached_jacobian", measured, programs, settings=SETTINGS, cells=cells, permutations=999)
        rows = evidence.frame(ask("detached_jacobian", inputs.as_role(kind)))
        if kind == "planted":
            assert (rows.effect > 0.05).all()
            assert (rows.p < 0.01).all()
        else:
            assert (rows.effect.abs() < 1e-5).all()
            assert (rows.estimate.abs() < 1e-5).all()


def test_tables_say_what_was_measured(measurement):
    mine = Subject(measurement.sel(variant=["subject"]), subject(measurement).strength, pd.Series("here", NAMES))
    found = probe.tables(TableInputs({"m": mine}, Programs({"P": GENES[:4], "few": GENES[:2]}), SETTINGS))
    assert {name: list(table.columns) for name, table in found.items()} == declared("detached_jacobian").tables["names"]
    assert len(found["responses"]) == 9
    np.testing.assert_allclose(found["responses"][list(SOURCES)].sum(axis=1), 1, rtol=1e-6)
    assert found["ranks"].begins.unique().tolist() == ["cells", "layer 0", "layer 1", "layer 2"]
    assert found["ranks"].frozen[0] == pytest.approx(float(measurement["effective_rank"][0, 0]))
    assert len(found["maps"]) == 2
    decoded = found["decoded"]
    assert len(decoded) == 2 * 2 * 3  # maps, sides, vectors; the program of two genes is left out
    assert set(decoded.program) == {"P"}


def test_a_vector_is_named_by_its_largest_loadings():
    vector, genes = np.array([0.1, -0.9, 0.3, 0.0]), np.array(["a", "b", "c", "d"])
    assert made.named(vector, genes, 3) == "+b -c -a"
    assert made.named(-vector, genes, 3) == "+b -c -a"


def test_without_copies_all_is_as_with_them(measurement):
    alone = measured()
    table = run_test("detached_jacobian", TestCase(asked(alone)))
    beside = run_test("detached_jacobian", TestCase(asked(measurement)))
    columns = ["statistic", "program", "estimate", "p", "p_stratified", "reason"]
    mine, theirs = (rows_of(each, role="subject")[columns].reset_index(drop=True) for each in (table, beside))
    pd.testing.assert_frame_equal(mine, theirs)
    found, other = (
        probe.tables(TableInputs({"m": subject(each)}, Programs(PROGRAMS), SETTINGS)) for each in (alone, measurement)
    )
    for name in declared("detached_jacobian").tables["names"]:
        pd.testing.assert_frame_equal(found[name], other[name])
    inputs = DrawInputs(
        rows_of(evidence.with_q(table, *JUDGED), role="subject"),
        {"m": alone}, Programs(PROGRAMS), {"models": {"m": {}}},
    )  # fmt: skip
    assert len(probe.draw(inputs).figure.axes) == 3


def test_an_unmeasured_model_has_no_tables():
    found = probe.tables(TableInputs({"m": subject(xr.Dataset())}, Programs(PROGRAMS), SETTINGS))
    assert all(table.empty for table in found.values())


def test_the_figure_is_drawn(measurement, tmp_path):
    table = evidence.with_q(run_test("detached_jacobian", TestCase(asked(measurement))), *JUDGED)
    inputs = DrawInputs(rows_of(table, role="subject"), {"m": measurement}, Programs(PROGRAMS), {"models": {"m": {}}})
    write_figure(probe.draw(inputs), [tmp_path / "a.svg"])
    text = (tmp_path / "a.svg").read_text()
    assert "share of delta_y" in text
    assert "effective rank" in text


def test_nothing_tested_is_said(tmp_path):
    empty = DrawInputs(evidence.frame([]), {}, Programs(PROGRAMS), {"models": {}})
    write_figure(probe.draw(empty), [tmp_path / "a.svg"])
    assert "Nothing could be tested" in (tmp_path / "a.svg").read_text()


def test_perturbations_that_no_model_knows_are_faults_of_the_config():
    config = {"probes": {"detached_jacobian": {"at": ["control", "x22"]}, "input_sensitivity": {"perturbation": "zz"}}}
    faults = list(_unknown_perturbations(config, {"m": random_state()}))
    assert faults[0].startswith("probes.detached_jacobian.at: 'x22' is no perturbation of m.")
    assert faults[1].startswith("probes.input_sensitivity.perturbation: 'zz' is no perturbation of m.")
    assert list(_unknown_perturbations({"probes": {"detached_jacobian": {"at": ["x2"]}}}, {"m": random_state()})) == []
