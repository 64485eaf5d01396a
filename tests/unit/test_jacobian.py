"""The derivative engine, against differences of the model's own predictions."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import GENES, MeanShift, cell_sets, random_state

from pertprobe import probes
from pertprobe.errors import PertprobeError
from pertprobe.interpret import jacobian
from pertprobe.interpret.jacobian import Point, cells_point, check_multiplicity, mean_cell_point, respond
from pertprobe.models.planted.closed_form import planted_models

MODELS = {
    "plain": {"batch_encoder": False},
    "batch_encoder": {},
    "confidence_token": {"confidence_token": True},
    "batch_token": {"batch_encoder": False, "batch_token": True, "confidence_token": True},
    "deep_encoders": {"n_encoder_layers": 3, "n_decoder_layers": 3},
    "self": {"attention": "self"},
}
TARGETS, REGULATORS = [1, 5, 8, 11], [0, 5, 7]


@pytest.fixture(params=MODELS)
def model(request):
    return random_state(**MODELS[request.param])


def at_cells(model, cells=None):
    cells = cells or cell_sets()
    return cells_point(cells.values, model.batch_indices(cells.batches), code_of(model))


def code_of(model, name="x1"):
    return model.encode_perturbations([name])[0]


def panel_jacobian(model, code, point, targets, regulators):
    """Return the total derivative under one code, without the axis of perturbations."""
    found = jacobian.panel_jacobian(model, code[None], point, targets, regulators)
    return jacobian.PanelJacobian(*(each[0] for each in found))


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_cells_give_the_total_derivative_by_central_differences(model):
    """(1/S) sum_s sum_s' dY_s/dX_s' is how the mean output moves when a gene rises in every cell at once."""
    point, code, step = at_cells(model), code_of(model), 1e-6
    found = panel_jacobian(model, code, point, TARGETS, REGULATORS).values
    assert found.shape == (2, len(TARGETS), len(REGULATORS))
    assert found.abs().max() > 1e-3
    for column, gene in enumerate(REGULATORS):
        moved = torch.zeros_like(point.X)
        moved[..., gene] = step
        above, below = (respond(model, code, point, point.X + sign * moved).mean(-2) for sign in (1, -1))
        close(found[..., column], ((above - below) / (2 * step))[:, TARGETS], 1e-7)


def test_the_total_derivative_is_the_sum_over_cells_of_the_inputs(model):
    point, code = at_cells(model), code_of(model)
    whole = torch.func.jacrev(lambda X: respond(model, code, point, X).mean(-2))(point.X)
    each_set = torch.stack([whole[i, :, i].sum(-2) for i in range(len(whole))])
    close(panel_jacobian(model, code, point, TARGETS, REGULATORS).values, each_set[:, TARGETS][..., REGULATORS])


def test_the_mean_cell_with_its_multiplicity_is_its_copies(model):
    cells, code = cell_sets(set_size=7), code_of(model)
    label = 1 if model.architecture.batch_encoder else None
    once = mean_cell_point(cells.values, label, code)
    copies = once.X.expand(-1, 7, -1)
    many = Point(copies, None if label is None else torch.full(copies.shape[:-1], label), None)
    a, b = (panel_jacobian(model, code, point, TARGETS, REGULATORS) for point in (once, many))
    close(a.values, b.values)
    close(a.open, b.open)
    check_multiplicity(model, code, once)


def test_without_its_multiplicity_a_mean_cell_beside_a_token_is_something_else():
    model = random_state(confidence_token=True)
    code = code_of(model)
    point = mean_cell_point(cell_sets(set_size=7).values, 0, code)
    alone = Point(point.X, point.batch, torch.ones_like(point.multiplicity))
    a, b = (panel_jacobian(model, code, each, TARGETS, REGULATORS).values for each in (point, alone))
    assert (a - b).abs().max() > 1e-6


def test_the_mean_cell_is_the_mean_of_each_set_in_one_batch():
    cells = cell_sets()
    point = mean_cell_point(cells.values, 1, torch.zeros(1, dtype=torch.float64))
    np.testing.assert_allclose(point.X[:, 0], cells.values.astype(float).mean(1))
    assert point.batch.tolist() == [[1], [1]]
    assert point.multiplicity.tolist() == [[5.0], [5.0]]
    assert mean_cell_point(cells.values, None, torch.zeros(1)).batch is None


@pytest.mark.parametrize("at", ["cells", "mean_cell"])
def test_the_mean_shift_has_the_identity(at):
    model, cells = MeanShift(), cell_sets()
    code = code_of(model)
    point = cells_point(cells.values, None, code) if at == "cells" else mean_cell_point(cells.values, None, code)
    every = list(range(len(GENES)))
    close(panel_jacobian(model, code, point, every, every).values, torch.eye(len(GENES)).double().expand(2, -1, -1))
    if at == "mean_cell":
        check_multiplicity(model, code, point)


def test_a_gene_the_model_ignores_has_no_derivative():
    model = random_state()
    weights = {name: weight.clone() for name, weight in model.parameters.items()}
    weights["basal_encoder.0.weight"][:, 7] = 0.0
    deaf = model.with_parameters(weights)
    found = panel_jacobian(deaf, code_of(deaf), at_cells(deaf), TARGETS, [0, 7]).values
    assert (found[..., 1] == 0).all()
    assert (found[..., 0] != 0).any()


def test_sets_do_not_see_each_other(model):
    cells, code = cell_sets(n_sets=3), code_of(model)
    batch = model.batch_indices(cells.batches)
    whole = panel_jacobian(model, code, cells_point(cells.values, batch, code), TARGETS, REGULATORS)
    alone = panel_jacobian(
        model, code, cells_point(cells.values[1:2], None if batch is None else batch[1:2], code), TARGETS, REGULATORS
    )
    close(whole.values[1:2], alone.values)


def test_order_of_targets_and_regulators_is_kept(model):
    point, code = at_cells(model), code_of(model)
    found = panel_jacobian(model, code, point, TARGETS, REGULATORS)
    turned = panel_jacobian(model, code, point, TARGETS[::-1], REGULATORS[::-1])
    close(turned.values, found.values.flip(-1, -2))
    close(turned.open, found.open.flip(-1))


def test_a_closed_output_is_flagged_and_has_no_derivative():
    model = random_state()
    weights = {name: weight.clone() for name, weight in model.parameters.items()}
    last = f"project_out.{3 * (model.architecture.n_decoder_layers - 1)}.bias"
    weights[last][1], weights[last][5] = -1e3, 1e3
    found = panel_jacobian(model.with_parameters(weights), code_of(model), at_cells(model), [1, 5, 8], REGULATORS)
    assert found.open[:, 0].tolist() == [0.0, 0.0]
    assert found.open[:, 1].tolist() == [1.0, 1.0]
    assert ((found.open >= 0) & (found.open <= 1)).all()
    assert (found.values[:, 0] == 0).all()


def test_a_causal_model_has_no_mean_cell():
    model = random_state(attention="causal")
    code = code_of(model)
    point = mean_cell_point(cell_sets().values, 0, code)
    with pytest.raises(PertprobeError, match="depends on the order of cells"):
        check_multiplicity(model, code, point)
    assert "set_function" not in model.capabilities


def test_a_model_that_counts_cells_but_not_their_multiplicity_is_found_out():
    class Counting(MeanShift):
        def decode(self, mixed, encoded, X):
            return mixed.h * X.shape[-2]

    model = Counting()
    code = code_of(model)
    with pytest.raises(PertprobeError, match=r"multiplicity 5 gives another output.*Set at: cells"):
        check_multiplicity(model, code, mean_cell_point(cell_sets().values, None, code))


def test_a_target_is_open_where_its_output_is_not_exactly_zero():
    """Without a ReLU an output may be negative, and its derivative stands."""
    cells = cell_sets()
    names = ["x1", "x2", "x3", *GENES[:6]]
    built = {"genes": GENES, "perturbations": names, "control": "ctrl", "cells": cells, "programs": {"P": names[:3]},
             "dtype": torch.float64}  # fmt: skip
    for relu in (False, True):
        model = planted_models(**built, relu=relu)["planted"]
        code = model.encode_perturbations(["x1"])[0]
        point = cells_point(cells.values - 0.5, None, code_of(model))  # half of the outputs are below 0
        found = panel_jacobian(model, code, point, TARGETS, REGULATORS).open
        below = (respond(planted_models(**built)["planted"], code, point)[..., TARGETS] <= 0).double().mean(-2)
        assert 0.1 < below.mean() < 0.9
        close(found, 1 - below if relu else torch.ones_like(below))


@pytest.mark.parametrize("path", sorted(Path(probes.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_no_probe_has_derivative_code_of_its_own(path):
    """They ask the engine: what differentiates stands once."""
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names & {"jvp", "vjp", "jacrev", "jacfwd", "grad", "backward", "autograd", "vmap"} == set()
