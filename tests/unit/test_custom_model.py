"""A model of one's own, brought through the entry point group pertprobe.models."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tiny import GENES, PERTURBATIONS, cell_sets, subject, to_measure, to_test

import pertprobe.models
from pertprobe import load_model
from pertprobe.errors import PertprobeError
from pertprobe.models.additive import AdditiveModel
from pertprobe.models.cards import model_card
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.probes.delta_y import strength
from pertprobe.stages.measuring import gather, measure_shard
from pertprobe.stages.testing import TestCase, run_test
from pertprobe.testing import check_model

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "custom_model.py"
KNOCKOUT = {"genes": "all", "by": "expression", "value": "zero", "perturbation": "control"}


class Entry:
    name = "linear"

    @staticmethod
    def load():
        spec = importlib.util.spec_from_file_location("custom_model", EXAMPLE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.load


@pytest.fixture
def weights(tmp_path):
    rng = np.random.default_rng(0)
    A, changes = rng.random((len(GENES), len(GENES))), rng.random((len(PERTURBATIONS), len(GENES)))
    arrays = {"A": A, "changes": changes, "genes": GENES, "perturbations": PERTURBATIONS, "control": "ctrl"}
    np.savez(tmp_path / "linear.npz", **arrays)
    return tmp_path / "linear.npz", A, changes


@pytest.fixture
def model(weights, monkeypatch):
    monkeypatch.setattr(pertprobe.models, "entry_points", lambda group: [Entry] if group == "pertprobe.models" else [])
    return load_model(weights[0], kind="linear", dtype="float64")


def measured(probe, model, settings=None):
    inputs = to_measure(model, settings=settings or {})
    return gather([measure_shard(probe, inputs, shard, 3) for shard in range(3)])


def test_its_delta_y_is_measured(model, weights):
    _, _, changes = weights
    found = measured("delta_y", model)["delta_y"].sel(variant="subject", perturbation="x1")
    expected = changes[PERTURBATIONS.index("x1")] - changes[PERTURBATIONS.index("ctrl")]
    np.testing.assert_allclose(found, np.stack([expected, expected]), atol=1e-6)


def test_its_knockouts_are_measured_and_tested(model, weights):
    found = measured("knockout", model, KNOCKOUT)
    expression = cell_sets().values.mean(1, dtype=np.float64)
    shift = found["shift"].sel(variant="subject", perturbation="g03")
    np.testing.assert_allclose(shift, -expression[:, [3]] * weights[1][3], atol=1e-6)
    known = strength(measured("delta_y", model))
    inputs = to_test("knockout", subject(found, known), {"P": GENES[:4]}, settings=KNOCKOUT)
    table = run_test("knockout", TestCase(inputs))
    assert table.program.tolist() == ["P"]
    assert table.evaluable.all()


def test_what_it_lacks_is_not_evaluable(model):
    assert measured("pert_embedding", model).attrs[NOT_EVALUABLE] == "model has no stages"


def test_it_keeps_every_promise(model):
    report = check_model(model)
    assert report.ok, report
    assert "redraw" in {each.name for each in report.promises if each.state == "kept"}


def test_it_has_a_card(model, tmp_path):
    cell_sets().write(tmp_path / "cells.h5ad")
    card = model_card("mine", {"mine": model}, {"context": "a", "regime": "fewshot"}, tmp_path / "cells.h5ad")
    assert (card["name"], card["kind"], card["genes"]) == ("mine", "linear", list(GENES))


def test_an_unknown_kind_lists_those_there_are(model, weights):
    with pytest.raises(PertprobeError, match=r"kind 'quadratic' is unknown \(available: state, lookup, .*, linear\)"):
        load_model(weights[0], kind="quadratic")


def test_the_mean_shift_can_be_probed_too():
    deltas = {name: np.full(len(GENES), i) for i, name in enumerate(PERTURBATIONS[:3])}
    model = AdditiveModel(deltas, genes=GENES, control="ctrl")
    assert strength(measured("delta_y", model)).round(4).tolist() == [0.0, 3.4641, 6.9282]
    cells = cell_sets().values.mean(1, dtype=np.float64)
    shift = measured("knockout", model, KNOCKOUT)["shift"].sel(variant="subject")
    np.testing.assert_allclose(shift, -cells[..., None] * np.eye(len(GENES)), atol=1e-6)
