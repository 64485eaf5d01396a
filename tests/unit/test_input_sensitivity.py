"""input_sensitivity: measurement, rows, figure, and the page that says what derivatives are worth."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from test_report import Checked
from tiny import GENES, PERTURBATIONS, cell_sets, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.data.programs import Programs
from pertprobe.models.additive import AdditiveModel
from pertprobe.plots import DrawInputs, write_figure
from pertprobe.probes import input_sensitivity as probe
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.probes.sensitivity_figure import untrained
from pertprobe.report import sensitivity_page as page
from pertprobe.report.page import write_page
from pertprobe.stages.measuring import measure_shard, write_measurement
from pertprobe.stages.testing import TestCase, run_test

SETTINGS = {"perturbation": "control", "noise": [0.1, 1, 10], "draws": 3, "copy_sets": 1}
PROGRAMS = {"P": GENES[:4], "Q": GENES[5:9], "few": ["absent"]}
NAMES = sorted(set(PERTURBATIONS) - {"ctrl"})


def measured(model=None, cells=None, settings=None, **more):
    model = random_state(dtype=torch.float32) if model is None else model
    inputs = to_measure(model, cells, settings={**SETTINGS, **(settings or {})})
    return measure_shard("input_sensitivity", inputs, 0, 1, **more)


@pytest.fixture(scope="module")
def measurement():
    return measured(redrawn=2, cascade=True, seed=3)


def asked(measurement, **more):
    return to_test("input_sensitivity", subject(measurement), PROGRAMS, settings=SETTINGS, **more)


def to_draw(measurement):
    return DrawInputs(evidence.frame([]), {"m": measurement}, Programs(PROGRAMS), {"models": {"m": {}}})


def test_everything_is_labelled(measurement):
    mine = measurement.sel(variant="subject")
    assert set(mine.data_vars) == set(probe.DIMS)
    assert mine.sizes["set"] == 2
    assert mine["noise"].values.tolist() == [0.1, 1.0, 10.0]
    assert mine.feature.values.tolist() == list(GENES)
    assert all(np.isfinite(each).all() for each in mine.data_vars.values())


def test_copies_are_measured_on_fewer_sets(measurement):
    copies = measurement.sel(variant=untrained(measurement))
    assert copies.variant.values.tolist() == ["redrawn_1", "shuffled_1", "redrawn_2", "shuffled_2"]
    assert np.isfinite(copies["gradient"].isel(set=0)).all()
    assert copies["gradient"].isel(set=1).isnull().all()


def test_another_perturbation_gives_other_numbers(measurement):
    other = measured(settings={"perturbation": "x1"})
    mine = measurement.sel(variant="subject")
    assert abs(float((other["input_gradient"] - mine["input_gradient"]).max())) > 1e-6


def test_draws_are_named_and_not_counted(measurement):
    """The same directions at every size, and for every copy."""
    inputs = to_measure(random_state(), settings=SETTINGS)
    noise = probe._noise(inputs)
    np.testing.assert_allclose(noise[2], 100 * noise[0])
    assert noise.shape == (3, 3, 12)
    np.testing.assert_allclose(np.abs(noise[1]).max(0) > 0, probe.set_sd(inputs.cells.values) > 0)


def test_noise_is_as_large_as_sets_differ():
    values = np.array([[[0.0, 1.0], [2.0, 1.0]], [[3.0, 1.0], [5.0, 1.0]]])
    np.testing.assert_allclose(probe.set_sd(values), [3 / np.sqrt(2), 0])
    np.testing.assert_allclose(probe.set_sd(values[:1]), [1 / np.sqrt(2), 0])
    np.testing.assert_allclose(probe.gene_sd(values), [np.std([0, 2, 3, 5]), 0])


def test_a_gene_that_does_not_vary_moves_nothing():
    found = measured(cells=cell_sets(silent=("g03",)))
    assert (found["input_response"].sel(feature="g03") == 0).all()
    assert (found["input_gradient"].sel(feature="g03") > 0).all()


def test_every_program_has_its_rows(measurement):
    rows = rows_of(run_test("input_sensitivity", TestCase(asked(measurement))), role="subject")
    for statistic in declared("input_sensitivity").statistics:
        mine = rows_of(rows, statistic=statistic).set_index("program")
        assert sorted(mine.index) == sorted(PROGRAMS)
        assert (mine.unit == "gene").all()
        assert not mine.evaluable["few"]
    assert rows_of(rows, statistic="input_rank", program="P").excess_redrawn.notna().all()


def test_the_most_sensitive_inputs_rank_highest(measurement):
    sizes = measurement["input_gradient"].sel(variant="subject").mean("set").to_series()
    programs = {"top": sizes.nlargest(3).index.tolist(), "last": sizes.nsmallest(3).index.tolist()}
    inputs = to_test("input_sensitivity", subject(measurement), programs, settings=SETTINGS)
    rows = rows_of(evidence.frame(ask("input_sensitivity", inputs)), statistic="input_rank")
    estimates = rows.set_index("program").estimate
    assert estimates["top"] == pytest.approx(10.5 / 12)
    assert estimates["last"] == pytest.approx(1.5 / 12)


def test_the_figure_is_drawn(measurement, tmp_path):
    inputs = to_draw(measurement)
    write_figure(probe.draw(inputs), [tmp_path / "a.svg"])
    assert "gradient" in (tmp_path / "a.svg").read_text()
    refused = to_draw(xr.Dataset())
    write_figure(probe.draw(refused), [tmp_path / "b.svg"])
    assert "Nothing could be tested" in (tmp_path / "b.svg").read_text()


PARAMS = SimpleNamespace(run="mine", models={"m<i>": {"context": "here", "regime": "fewshot"}})


def files(folder, measurement):
    write_measurement(measurement, folder / "m.nc")
    shifts = xr.DataArray(
        np.full((1, 3, 4), 0.5), dims=("set", "perturbation", "gene"), coords={"perturbation": ["a", "b", "c"]}
    )
    write_measurement(xr.Dataset({"delta_y": shifts}), folder / "delta_y.nc")
    write_figure(probe.draw(to_draw(measurement)), [folder / "m.svg"])
    return SimpleNamespace(measurements=[folder / "m.nc"], delta_y=[folder / "delta_y.nc"], figure=folder / "m.svg")


def test_the_page_needs_no_other_file_and_escapes_names(measurement, tmp_path):
    page.write_sensitivity_page(files(tmp_path, measurement), PARAMS, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    checked = Checked()
    checked.feed(text)
    assert checked.outside == ["report.html"]
    assert "<i>" not in text
    assert "m&lt;i&gt;" in text
    assert "the median response to a perturbation is 1." in text
    assert "in 4 untrained copies" in text


def told(**changes):
    """Return what the page says of a model with these numbers; untrained copies have gradients 1 and 2."""
    values = {
        "closed": np.full((2, 4), 0.1), "noise_error": np.full((2, 2, 3), 0.2), "noise_response": np.ones((2, 2, 3)),
        "set_difference": np.array(0.7), "gradient": np.full((2, 3), 5.0), "activation": np.ones((2, 3)),
        "spectral_norm": np.ones(2), "shift_norm": np.ones(2), "converged": np.zeros(2),
        "input_response": np.arange(8.0).reshape(2, 4), "output_response": np.ones((2, 4)),
    } | changes  # fmt: skip
    coords = {"feature": list("abcd"), "gene": list("wxyz"), "noise": [0.1, 1.0]}
    mine = xr.Dataset({name: (probe.DIMS[name], each) for name, each in values.items()}, coords=coords)
    copies = [mine.assign(gradient=0 * mine["gradient"] + size) for size in (1.0, 2.0)]
    names = pd.Index(["subject", "redrawn_1", "shuffled_1"], name="variant")
    return page.model_contents(xr.concat([mine, *copies], names), 2.0)


def text_of(folder, said):
    """Return the page of one model of which this is said."""
    shown = {"run": "mine", "models": [{"name": "m", **PARAMS.models["m<i>"], **said}], "figure": ""}
    write_page("sensitivity.html.j2", shown, folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def test_a_sound_model_is_called_sound(tmp_path):
    said = told()
    text = text_of(tmp_path, said)
    assert "<strong>Derivatives of this model mean something" in text
    assert "10% of the outputs are exactly 0 in a control cell, and 0 of 4" in text
    assert "misses 20% at 0.1, 20% at 1 times" in text
    assert "The outputs of two cell sets lie 0.7 apart." in text
    assert "in 2 untrained copies it lies between 1 and 2" in text
    assert [row["input"] for row in said["genes"]] == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"closed": np.full((2, 4), 0.9)}, "90% of the outputs are closed"),
        ({"noise_error": np.full((2, 2, 3), 0.8)}, "miss most of a change as small as cell sets differ by"),
        ({"gradient": np.full((2, 3), 1.5)}, "their size is that of untrained weights"),
    ],
)
def test_what_stands_against_derivatives_is_said(changes, doubt, tmp_path):
    answer = text_of(tmp_path, told(**changes)).partition("<strong>Read derivatives of this model with care: ")[2]
    assert doubt in answer.partition(".")[0]


def test_without_copies_the_page_says_that_it_cannot_compare(tmp_path):
    said = page.model_contents(measured(), 1.0)
    assert "no untrained copies stand beside them" in said["doubts"]
    assert "There are no untrained copies to compare gradients with." in text_of(tmp_path, said)
    assert np.isnan(said["numbers"][0]["low"])


def test_a_model_without_stages_is_refused_and_the_page_says_why(tmp_path):
    found = measured(AdditiveModel({"x1": np.zeros(12)}, genes=GENES, control="ctrl"))
    assert found.attrs[NOT_EVALUABLE] == "model has no stages"
    assert "Not evaluable: model has no stages." in text_of(tmp_path, page.model_contents(found, 1.0))
    rows = run_test("input_sensitivity", TestCase(asked(found)))
    assert not rows.evaluable.any()
    assert set(rows.program) == set(PROGRAMS)
