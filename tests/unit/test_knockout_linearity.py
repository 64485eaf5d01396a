"""Knock-outs against what the derivative at the cells foretells of them."""

import numpy as np
import pytest
import torch
import xarray as xr
from slow_jacobian import STATES, explicit_jacobian
from tiny import GENES, MeanShift, cell_sets, profiles, random_state, rows_of, subject, to_measure, to_test

from pertprobe import evidence
from pertprobe.batching import BLOCK
from pertprobe.data.programs import Programs
from pertprobe.interpret.jacobian import cells_point
from pertprobe.interpret.knockouts import knocked_out, knockout_predictions, knockout_shifts
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.probes import knockout_linearity
from pertprobe.probes.base import Subject, TableInputs
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import ask
from pertprobe.statistics.reliability import curvature, fit

SETTINGS = {"genes": "all", "by": "expression", "value": "zero", "perturbation": "control"}
MANY = [f"k{i:02d}" for i in range(40)]
OUTPUTS = [f"o{i:02d}" for i in range(30)]
SHARES = np.linspace(0, 1, len(GENES)).tolist()
VALUES = ("zero", "mean", SHARES)


def asked(model, cells, genes=None, names=("ctrl",)):
    codes = model.encode_perturbations(list(names))
    return (
        codes,
        cells_point(cells.values, model.batch_indices(cells.batches), codes),
        list(range(len(GENES)) if genes is None else genes),
    )


def measured(model, cells=None, names=GENES, **more):
    settings = {**SETTINGS, **more.pop("settings", {})}
    with torch.no_grad():
        return knockout_linearity.measure(to_measure(model, cells, settings=settings, **more), list(names))


def planted(relu=False, cells=None, **more):
    cells = cell_sets() if cells is None else cells
    models = planted_models(
        genes=GENES, perturbations=[*GENES[:6], "x1"], control="ctrl", cells=cells, programs={"P": GENES[:3]},
        expressed=GENES, relu=relu, dtype=torch.float64, **more,
    )  # fmt: skip
    return models["planted"]


def drawn(specific, seed=0, shared=1.0, names=MANY, outputs=OUTPUTS):
    """Shifts and predictions that share one profile, and of each gene `specific` of its own."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=len(outputs)), rng.normal(size=(len(names), len(outputs)))
    sides = [shared * common + specific * own + rng.normal(size=own.shape) for _ in range(2)]
    found = profiles("shift", sides[0], names, outputs, feature="gene")
    found["predicted"] = found["shift"].copy(data=np.stack([[sides[1]] * 2]))
    found["half"] = found["shift"] / 2
    lost = np.tile(np.linspace(0.1, 2, len(names)), (1, 2, 1))
    return found.assign(lost=(("variant", "set", "perturbation"), lost)).assign_coords(set=[0, 1])


def evaluated(measurement, programs, **more):
    given = {"cells": cell_sets(genes=tuple(MANY)), **more}
    inputs = to_test("knockout_linearity", subject(measurement), programs, **given)
    return evidence.frame(ask("knockout_linearity", inputs))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("state", STATES)
def test_shifts_at_once_are_those_of_one_prediction_each(state, value):
    model, cells, names = random_state(**STATES[state]), cell_sets(silent=["g03"]), ["ctrl", *GENES[1:4]]
    values = cells.values.astype(np.float64)  # in float32 the mean of a gene would be rounded

    def mean(values, name):
        return model.predict(values, name, cells.batches).mean(-2)

    with torch.no_grad():
        found = knockout_shifts(model, *asked(model, cells, names=names), value)
        each = [value] * len(GENES) if isinstance(value, str) else value
        slow = [[mean(knocked_out(values, g, each[g]), name) - mean(values, name)
                 for g in range(len(GENES))] for name in names]  # fmt: skip
    np.testing.assert_allclose(found, torch.stack([torch.stack(each) for each in slow]), atol=1e-9)
    assert not found[:, 3].any()


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("state", STATES)
def test_predictions_are_central_differences_along_what_cells_lose(state, value):
    model, cells = random_state(**STATES[state]), cell_sets()
    given = asked(model, cells, names=["ctrl", GENES[2]])
    found, step = knockout_predictions(model, *given, value), 1e-5
    up, down = (knockout_shifts(model, *given, value, share=share) for share in (step, -step))
    np.testing.assert_allclose(found.detach(), (up - down) / (2 * step), atol=1e-7)


def test_a_prediction_is_the_jacobian_times_what_is_lost_where_all_cells_lose_alike():
    model, cells = random_state(), cell_sets()
    cells.values[..., 4] = 0.7
    codes, point, _ = asked(model, cells)
    jacobian = explicit_jacobian(model, codes, point)[0, :, :, 4]
    found = knockout_predictions(model, codes, point, [4], "zero")[0, 0]
    np.testing.assert_allclose(found.detach(), -np.float32(0.7) * jacobian.detach(), atol=1e-12)


def test_genes_have_the_numbers_of_their_block_whatever_other_blocks_a_job_has():
    model, cells = random_state(dtype=torch.float32), cell_sets(silent=["g03"])
    blocks = [list(range(len(GENES)))[start : start + BLOCK] for start in range(0, len(GENES), BLOCK)]
    assert len(blocks) > 1
    for work in (knockout_shifts, knockout_predictions):
        together = work(model, *asked(model, cells), "zero")
        alone = torch.cat([work(model, *asked(model, cells, block), "zero") for block in blocks], dim=1)
        assert torch.equal(together, alone)


@pytest.mark.parametrize("model", [MeanShift(), planted(), planted(set_term=0.5)], ids=["shift", "planted", "crossing"])
def test_a_model_that_is_linear_in_its_cells_is_foretold_exactly(model):
    found = measured(model)
    np.testing.assert_allclose(found["shift"], found.predicted, atol=1e-6)
    np.testing.assert_allclose(found["shift"], 2 * found.half, atol=1e-6)


@pytest.mark.parametrize("model", [MeanShift(), planted(set_term=0.5)], ids=["shift", "crossing"])
def test_what_a_linear_model_answers_shrinks_by_the_share_that_is_left(model):
    left = xr.Dataset({"left": ("perturbation", SHARES)}, {"perturbation": list(GENES)})
    found, whole = measured(model, settings={"value": "observed"}, observed=left), measured(model)
    removed = 1 - xr.DataArray(SHARES, {"perturbation": list(GENES)}, "perturbation")
    for name in ("shift", "predicted", "half", "lost"):
        xr.testing.assert_allclose(found[name], (removed * whole[name]).transpose(*whole[name].dims), atol=1e-6)


@pytest.mark.parametrize("model", [MeanShift(), planted(set_term=0.5)], ids=["shift", "crossing"])
def test_a_linear_model_does_not_answer_to_a_gene_that_is_set_to_its_mean(model):
    found = measured(model, settings={"value": "mean"})
    np.testing.assert_allclose(found["shift"], 0, atol=1e-6)


def test_a_planted_model_has_the_predictions_of_its_known_jacobian():
    cells = cell_sets()
    cells.values[..., :] = cells.values.mean((0, 1))  # cells alike, so that each loses the same
    model = planted(relu=True, cells=cells)
    found = measured(model, cells).predicted
    jacobian = model.jacobian(cells.values, "ctrl", derivative="total")
    expected = -jacobian.numpy() * cells.values[:, 0, None, :]
    np.testing.assert_allclose(found, expected.swapaxes(1, 2), atol=1e-6)


def test_a_relu_makes_knock_outs_other_than_foretold():
    found = measured(planted(relu=True), cell_sets(seed=3))
    shares = fit(found["shift"].mean("set"), found.predicted.mean("set")).explained
    exact = measured(planted()).pipe(lambda each: fit(each["shift"], each["predicted"]).explained)
    assert (exact > 1 - 1e-9).all()
    assert shares.min() < 1 - 1e-4


def test_copies_are_asked_on_one_set_and_of_the_agreement_alone():
    found = measured(random_state(), role="redrawn")
    assert set(found) == {"shift", "predicted"}
    assert found["shift"].isel(set=0).notnull().all()
    assert found["shift"].isel(set=1).isnull().all()


def test_a_fit_knows_size_and_sign():
    profile = np.array([1.0, -2.0, 0.5, np.nan])
    for factor, explained in ((1.0, 1.0), (2.0, 0.0), (-1.0, -3.0), (0.5, 0.75)):
        found = fit(profile, factor * np.nan_to_num(profile, nan=9.0))
        assert found.explained == pytest.approx(explained)
        assert found.slope == pytest.approx(1 / factor)
    nothing = fit(np.zeros(3), np.ones(3))
    assert np.isnan(nothing.explained)
    assert nothing.slope == 0


def test_curvature_of_a_line_is_0_and_of_a_square_a_half():
    ray = np.array([1.0, 2.0])
    assert curvature(ray, ray / 2) == 0
    assert curvature(ray, ray / 4) == pytest.approx(0.5)
    assert np.isnan(curvature(np.zeros(2), ray))


def test_profiles_that_are_foretold_pass_and_those_that_share_one_profile_do_not():
    programs = {"P": MANY[:6], "Q": MANY[10:16]}
    found, shared_only = evaluated(drawn(2.0), programs), evaluated(drawn(0.0, shared=3.0), programs)
    assert (rows_of(found, statistic="agreement").p < 0.02).all()
    assert (rows_of(shared_only, statistic="agreement").p > 0.05).all()
    assert rows_of(shared_only, statistic="agreement").reason.str.contains("mean r 0.[6-9]").all()


def test_linearity_is_tested_against_genes_that_lose_as_much():
    """Where knock-outs are the less linear the more is lost, a program of what is lost most is no exception."""
    made = drawn(3.0)
    noise = np.random.default_rng(1).normal(size=made["shift"].shape)
    made["predicted"] = made["shift"] + noise * made["lost"].values[..., None]
    found = rows_of(evaluated(made, {"low": MANY[:8], "high": MANY[-8:]}), statistic="linearity").set_index("program")
    assert found.p["low"] < 0.01 < found.p_stratified["low"]
    made["predicted"].loc[{"perturbation": MANY[16:24]}] = made["shift"].sel(perturbation=MANY[16:24])
    exact = rows_of(evaluated(made, {"exact": MANY[16:24]}), statistic="linearity").iloc[0]
    assert exact.estimate == pytest.approx(1)
    assert exact.p_stratified < 0.02


def test_observed_responses_and_co_expression_stand_beside():
    made = drawn(2.0)
    own = made.sel(variant="subject", drop=True)
    correlation = -own["shift"].mean("set").rename(perturbation="input_gene", gene="input_gene_b")
    observed = xr.Dataset({"delta_y": own["predicted"].mean("set"), "correlation": correlation})
    measured_cells = cell_sets(genes=tuple(MANY))
    base = subject(made)
    inputs = to_test(
        "knockout_linearity", Subject(base.measurement, base.strength, base.seen, observed), {"P": MANY[:6]},
        cells=measured_cells,
    )  # fmt: skip
    found = evidence.frame(ask("knockout_linearity", inputs))
    found = found[found.role != "subject"].set_index("role")
    assert found.reason["observed"] == found.reason["coexpression"] == "mean r 1.000"
    assert set(found.index) == {"observed", "coexpression"}


def test_the_table_has_a_row_for_each_gene_and_set():
    made = measured(random_state()).expand_dims(variant=["subject"])
    found = knockout_linearity.tables(TableInputs({"m": subject(made)}, Programs({}), {}))["genes"]
    assert found.columns.tolist() == declared("knockout_linearity").tables["names"]["genes"]
    assert len(found) == 2 * len(GENES)
    row = found[(found.gene == "g04") & (found.set == 1)].iloc[0]
    shift, predicted = (made[name].isel(variant=0, set=1).sel(perturbation="g04") for name in ("shift", "predicted"))
    others = shift.gene != "g04"
    expected = 1 - ((shift - predicted)[others] ** 2).sum() / (shift[others] ** 2).sum()
    assert row.explained == pytest.approx(float(expected), rel=1e-4)
    assert row.lost == pytest.approx(cell_sets().values[1, :, 4].mean(), rel=1e-5)
