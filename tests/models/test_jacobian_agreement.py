"""The engine against Jacobians that State's own classes gave, for every shared model directory."""

import functools

import numpy as np
import pytest
import torch

from pertprobe.interpret.jacobian import (
    Factors,
    cells_point,
    feature_jacobian,
    jacobian_cores,
    mean_cell_point,
    panel_jacobian,
    routing_jacobian,
)
from pertprobe.interpret.sensitivity import shift_factors
from pertprobe.models.state.load import load_state

TOLD = {"st_gpt2_fewshot_A": "causal", "st_legacy0914_tf4524": "bidirectional"}
"""Attention patterns that the files do not tell."""
NAMES = [
    "st_fewshot_A", "st_fewshot_B", "st_zeroshot_A", "st_conf_fewshot_A", "st_gpt2_fewshot_A", "st_causal_fewshot_A",
    "st_maskattn_fewshot_A", "st_lora_fewshot_A", "st_emb_fewshot_A", "st_all_fewshot_A", "st_nores_relu",
    "st_legacy0914_tf4524", "papalexi_fewshot_rep_1", "papalexi_fewshot_rep_2", "papalexi_zeroshot_rep_1",
]  # fmt: skip


@functools.cache
def given(path):
    with np.load(path / "expected.npz") as file:
        want = {key: file[key] for key in file.files}
    return load_state(path, attention=TOLD.get(path.name), dtype=torch.float64), want


@pytest.fixture(params=NAMES)
def case(request, shared_path):
    """A model, what State gave, the codes of its Jacobians, and the cells."""
    model, want = given(shared_path("state", request.param))
    codes = model.encode_perturbations(list(want["J_perts"]))
    point = cells_point(want["X"][None], torch.as_tensor(want["batch_index"])[None], codes)
    return model, want, codes, point


def close(a, b, tolerance=1e-9):
    b = torch.as_tensor(b)
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.abs().max()))


def test_by_the_perturbation_code(case):
    model, want, codes, point = case
    close(routing_jacobian(model, codes, point)[:, 0], want["J_pertrepr"])


def test_by_the_cells(case):
    """dX is [P, targets, S, G], by each cell of its own: the total derivative is its sum over cells."""
    model, want, codes, point = case
    targets = want["dX_targets"].tolist()
    total = torch.as_tensor(want["dX"]).sum(2)
    close(panel_jacobian(model, codes, point, targets, range(total.shape[-1])).values[:, 0], total)
    few = [0, 3, 7, 11]
    close(panel_jacobian(model, codes, point, targets * 3, few).values[:, 0, :2], total[..., few])  # forward mode
    assert (total != 0).any()


@pytest.mark.parametrize("name", ["st_conf_fewshot_A", "st_all_fewshot_A", "papalexi_fewshot_rep_1"])
def test_factors_of_a_trained_model(shared_path, name):
    """Entries, rows and the diagonal of trained models, by factors, by cores and by panels."""
    model, want = given(shared_path("state", name))
    codes = model.encode_perturbations(list(want["J_perts"][:1]))
    X, batch = want["X"][None, :5], torch.as_tensor(want["batch_index"])[None, :5]
    targets, genes = want["dX_targets"].tolist(), [0, 3, 7]
    point = cells_point(X, batch, codes)
    close(
        shift_factors(model, codes[0], point).entries(targets, genes),
        panel_jacobian(model, codes, point, targets, genes).values[0],
    )
    for derivative in ("total", "diagonal"):
        mean = mean_cell_point(X, 1, codes, derivative)
        block = panel_jacobian(model, codes, mean, targets, genes, derivative).values
        cores = jacobian_cores(model, codes, mean, derivative)
        close(cores.outputs(targets).rows(range(len(targets)))[..., genes], block)
    alone = [point._replace(weight=weight[None]) for weight in torch.eye(X.shape[1]).double()]
    cells = [panel_jacobian(model, codes, each, targets, genes, "diagonal").values for each in alone]
    close(torch.stack(cells).mean(0), panel_jacobian(model, codes, point, targets, genes, "diagonal").values)


def test_by_the_one_hot_of_a_trained_model(shared_path):
    """A code's derivative by the one-hot moves the mean output as the perturbation's own feature does."""
    model, want = given(shared_path("state", "st_fewshot_A"))
    name, X = str(want["J_perts"][0]), torch.as_tensor(want["X"][:4]).double()
    codes, batch = model.encode_perturbations([name]), torch.as_tensor(want["batch_index"][:4])
    point = cells_point(X[None].numpy(), batch[None], codes)
    factors = Factors(routing_jacobian(model, codes, point)[:, 0], feature_jacobian(model, [name]))
    features = model.perturbation_features[model.perturbations.index(name)]
    step = 1e-6 * features
    encoded = model.encode_cells(X, batch)
    above, below = (
        model.decode(model.mix(model.encode_features(features + sign * step), encoded), encoded, X).mean(0)
        for sign in (1, -1)
    )
    close(factors.times(features)[0], (above - below) / 2e-6, 1e-6)


def test_whole_jacobians_of_a_trained_model_by_rows(shared_path):
    model, want = given(shared_path("state", "st_emb_fewshot_A"))
    codes = model.encode_perturbations(list(want["J_perts"][:1]))
    point = cells_point(want["X"][None], torch.as_tensor(want["batch_index"])[None], codes)
    outputs, genes = (range(n) for n in (len(model.output_features), len(model.genes)))
    whole = panel_jacobian(model, codes, point, outputs, genes).values
    close(whole[:, 0, want["dX_targets"].tolist()], torch.as_tensor(want["dX"][:1]).sum(2))
