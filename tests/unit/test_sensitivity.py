"""Gains, gradients by layer and the linear range, against explicit matrices and differences."""

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard
from tiny import GENES, MeanShift, cell_sets, random_state

from pertprobe.interpret.jacobian import Point, cells_point, mean_cell_point, panel_jacobian, respond
from pertprobe.interpret.sensitivity import (
    layer_sizes,
    noise_response,
    sensitivity,
    shift_factors,
    spectral_norm,
)
from pertprobe.interpret.spectrum import layer_jacobian
from pertprobe.models.planted.closed_form import planted_models

MODELS = {
    "llama": {}, "tokens": {"batch_encoder": False, "batch_token": True, "confidence_token": True},
    "all": {"output_space": "all"}, "causal": {"attention": "causal"},
}  # fmt: skip
SIGNS = torch.as_tensor(hadamard(16)[:, :12], dtype=torch.float64)
"""Orthogonal signs: with them the mean over draws is exact."""


@pytest.fixture(params=MODELS)
def model(request):
    return random_state(**MODELS[request.param])


def at_cells(model):
    cells = cell_sets()
    code = model.encode_perturbations(["x1"])
    return code, cells_point(cells.values, model.batch_indices(cells.batches), code)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_factors_of_one_perturbation_are_those_of_a_batch(model):
    codes, point = at_cells(model)
    found = shift_factors(model, codes[0], point)
    batch = panel_jacobian(model, codes, point, range(len(GENES)), range(len(GENES)))
    close(found.rows(range(len(GENES))), batch.values[0])


def test_power_iteration_finds_the_largest_gain(model):
    codes, point = at_cells(model)
    whole = torch.func.jacrev(lambda X: respond(model, codes[0], point, X))(point.X)  # [2, 5, G, 2, 5, G]
    wanted = torch.stack([torch.linalg.matrix_norm(whole[i, :, :, i].reshape(60, 60), ord=2) for i in range(2)])
    start = torch.randn(point.X.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm, change = spectral_norm(model, codes[0], point, start, steps=2000, tolerance=1e-12)
    close(norm, wanted, 1e-6)
    early, early_change = spectral_norm(model, codes[0], point, start, steps=2)
    assert (early <= wanted * (1 + 1e-12)).all()
    assert (early_change > change).all()


def test_a_model_that_ignores_its_cells_has_no_gain():
    model = MeanShift()
    model.decode = lambda mixed, encoded, X: 0 * mixed.h
    code, point = model.encode_perturbations(["x1"])[0], cells_point(cell_sets().values, None, torch.zeros(1).double())
    norm, _ = spectral_norm(model, code, point, torch.ones_like(point.X))
    assert (norm == 0).all()


def test_gradients_of_layers_are_norms_of_their_jacobians(model):
    codes, point = at_cells(model)
    _, gradient = layer_sizes(model, codes[0], point, SIGNS[:, None].expand(-1, 2, -1))
    for layer in range(3):
        close(gradient[:, layer], layer_jacobian(model, codes[0], point, layer).flatten(1).norm(dim=1))


def test_activations_are_those_of_the_cells_alone(model):
    codes, point = at_cells(model)
    encoded = model.encode_cells(point.X, point.batch)
    layers = model.mix(codes[0], encoded).layers
    found, _ = layer_sizes(model, codes[0], point, SIGNS[:1, None].expand(-1, 2, -1))
    cells = layers[1][:, model.cell_positions]
    assert cells.shape[1] == 5
    close(found[:, 1], cells.square().mean((1, 2)).sqrt())


def test_small_shifts_are_predicted_and_large_ones_are_not(model):
    codes, point = at_cells(model)
    direction = torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shifts = torch.stack([size * direction for size in (1e-6, 1e-4, 3.0)])
    size, missed = noise_response(model, codes[0], point, shift_factors(model, codes[0], point), shifts)
    assert (missed[:, 0] < 1e-4).all()
    assert (missed[:, 2] > 1e-2).all()
    moved = respond(model, codes[0], point, point.X + shifts[2]) - respond(model, codes[0], point)
    close(size[:, 2], moved.mean(-2).norm(dim=-1))


def test_of_a_linear_model_the_derivative_misses_nothing():
    cells, names = cell_sets(), ["x1", "x2", "x3", *GENES[:6]]
    given = {"genes": GENES, "perturbations": names, "control": "ctrl", "cells": cells, "programs": {"P": names[:3]}}
    model = planted_models(**given, dtype=torch.float64)["planted"]
    code, point = model.encode_perturbations(["x1"])[0], cells_point(cells.values, None, torch.zeros(1).double())
    _, missed = noise_response(model, code, point, shift_factors(model, code, point), 5 * torch.eye(12).double())
    assert (missed < 1e-10).all()
    size, missed = noise_response(model, code, point, shift_factors(model, code, point), torch.zeros(1, 12).double())
    assert (missed == 0).all()
    assert (size == 0).all()


def test_rows_and_columns_of_the_jacobian_are_what_inputs_and_outputs_answer(model):
    codes, point = at_cells(model)
    sd = torch.linspace(0, 2, 12).double()
    noise = torch.zeros(2, 3, 12).double()
    noise[1, 2] = 1e-3
    draws = {"noise": noise, "signs": SIGNS[:, None].expand(-1, 2, -1), "start": torch.ones_like(point.X)}
    found = sensitivity(model, codes[0], point, sd, **draws)
    J = shift_factors(model, codes[0], point).rows(range(12))
    close(found["input_gradient"], J.square().sum(1).sqrt())
    close(found["input_response"], J.square().sum(1).sqrt() * sd)
    assert (found["input_response"][:, 0] == 0).all()
    close(found["output_response"], (J * sd).square().sum(2).sqrt())
    close(found["shift_norm"], torch.linalg.svdvals(J)[:, 0])
    assert found["noise_response"].shape == (2, 2, 3)
    assert (found["noise_response"] > 0).sum() == 2
    means = respond(model, codes[0], point).mean(-2)
    close(found["set_difference"], (means[0] - means[1]).norm())
    close(found["closed"], (respond(model, codes[0], point) == 0).double().mean(-2))


def test_one_set_has_no_difference_between_sets():
    model = random_state()
    codes, point = at_cells(model)
    alone = Point(point.X[:1], point.batch[:1], None)
    draws = {"noise": torch.zeros(1, 1, 12).double(), "signs": SIGNS[:, None], "start": torch.ones_like(alone.X)}
    found = sensitivity(model, codes[0], alone, torch.ones(12).double(), **draws)
    assert torch.isnan(found["set_difference"])


def test_the_mean_cell_has_its_gains_too():
    model = random_state(confidence_token=True)
    code = model.encode_perturbations(["x1"])[0]
    point = mean_cell_point(cell_sets().values, 0, code)
    _, gradient = layer_sizes(model, code, point, SIGNS[:, None].expand(-1, 2, -1))
    assert np.isfinite(gradient.numpy()).all()
    close(gradient[:, 2], layer_jacobian(model, code, point, 2).flatten(1).norm(dim=1))
