"""The spectrum of frozen maps: explicit and matrix-free, from the cells and from each layer."""

import numpy as np
import pytest
import torch
from slow_jacobian import explicit_jacobian
from tiny import cell_sets, random_state

from pertprobe.interpret.jacobian import Point
from pertprobe.interpret.sensitivity import shifted_mean
from pertprobe.interpret.spectrum import decomposed, effective_rank, lanczos, layer_jacobian, overlap, shift_operator

MODELS = {
    "llama": {}, "tokens": {"batch_encoder": False, "batch_token": True, "confidence_token": True},
    "all": {"output_space": "all"}, "causal": {"attention": "causal"},
}  # fmt: skip


@pytest.fixture(params=MODELS)
def model(request):
    return random_state(**MODELS[request.param])


def frozen_at(model, name="x1"):
    cells = cell_sets()
    batch = model.batch_indices(cells.batches)
    return model.freeze(model.tensor(cells.values[0]), name, None if batch is None else batch[0])


def matrix(frozen):
    """The detached Jacobian [G_out, G], one column at a time."""
    G = frozen.X.shape[-1]
    columns = [frozen.from_cells(torch.eye(G).double()[j].expand_as(frozen.X)).mean(0) for j in range(G)]
    return torch.stack(columns, dim=1)


def test_the_effective_rank_counts_equal_values():
    assert effective_rank(torch.tensor([2.0, 2.0, 2.0, 0.0])).item() == pytest.approx(3)
    assert effective_rank(torch.tensor([5.0, 0.0])).item() == pytest.approx(1)
    assert effective_rank(torch.zeros(4)).item() == 0
    assert effective_rank(torch.tensor([1.0, 0.5])).item() == pytest.approx(1.25**2 / 1.0625)


def test_products_with_the_operator_are_products_with_the_matrix(model):
    frozen = frozen_at(model)
    operator, J = shift_operator(frozen), matrix(frozen).numpy()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=12), rng.normal(size=12)
    np.testing.assert_allclose(operator @ x, J @ x, rtol=1e-10)
    np.testing.assert_allclose(operator.T @ y, J.T @ y, rtol=1e-10)


def test_lanczos_finds_the_leading_vectors_of_the_matrix(model):
    frozen = frozen_at(model)
    U, s, V = torch.linalg.svd(matrix(frozen))
    found = lanczos(shift_operator(frozen), 4, np.random.default_rng(1))
    torch.testing.assert_close(found.values, s[:4], rtol=1e-8, atol=1e-12)
    k = int((s[:4] > 1e-9 * s[0]).sum())  # of values 0 the vectors are any
    assert k == 4 or model.architecture.output_space == "all"
    assert ((found.inputs * V[:4]).sum(-1).abs() - 1).abs()[:k].max() < 1e-8
    assert ((found.outputs * U[:, :4]).sum(0).abs() - 1).abs()[:k].max() < 1e-8


def test_a_decomposition_compares_the_detached_with_the_ordinary_jacobian(model):
    frozen = frozen_at(model)
    found = decomposed(frozen, "x1", frozen.batch, 3, np.random.default_rng(2))
    detached = matrix(frozen)
    point = Point(frozen.X[None], None if frozen.batch is None else frozen.batch[None], None)
    ordinary = explicit_jacobian(model, model.encode_perturbations(["x1"]), point)[0, 0]
    torch.testing.assert_close(found["values"], torch.linalg.svdvals(detached)[:3], rtol=1e-10, atol=1e-12)
    ranks = [effective_rank(torch.linalg.svdvals(each)) for each in (detached, ordinary)]
    torch.testing.assert_close(found["effective_rank"], torch.stack(ranks), rtol=1e-8, atol=0)
    cosine = torch.nn.functional.cosine_similarity(detached.flatten(), ordinary.flatten(), dim=0)
    assert found["cosine"].item() == pytest.approx(cosine.item(), abs=1e-10)
    assert found["lanczos_error"] < 1e-8
    if found["values"][2] > 1e-9:
        spans = [torch.linalg.svd(each).Vh[:3] for each in (detached, ordinary)]
        assert found["overlap"][0].item() == pytest.approx(overlap(*spans).item(), abs=1e-8)
    gram = found["input_vectors"] @ found["input_vectors"].T
    torch.testing.assert_close(gram, torch.eye(3).double(), rtol=0, atol=1e-10)
    assert found["layer_rank"].shape == (2, 3)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_jacobian_from_a_layer_is_what_a_shift_there_does(model, layer):
    frozen = frozen_at(model)
    point = Point(frozen.X[None], None if frozen.batch is None else frozen.batch[None], None)
    code = model.encode_perturbations(["x1"])[0]
    found = layer_jacobian(model, code, point, layer)[0]
    step = 1e-6
    for k in (0, 5, 15):
        shift = torch.zeros(16).double()
        shift[k] = step
        above, below = (
            shifted_mean(model, code, point, [sign * shift if i == layer else None for i in range(3)])[0]
            for sign in (1, -1)
        )
        torch.testing.assert_close(found[:, k], (above - below) / (2 * step), rtol=1e-6, atol=1e-8)


def test_a_frozen_layer_is_linear(model):
    frozen = frozen_at(model)
    point = Point(frozen.X[None], None if frozen.batch is None else frozen.batch[None], None)
    code = model.encode_perturbations(["x1"])[0]
    J = layer_jacobian(frozen.model, code, point, 1)[0]
    shift = 3 * torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = shifted_mean(frozen.model, code, point, [None, shift, None])[0]
    torch.testing.assert_close(moved - frozen.output.mean(0), J @ shift, rtol=1e-10, atol=1e-10)


def test_spans_overlap_from_none_to_all():
    e = torch.eye(5)
    assert overlap(e[:2], e[2:4]).item() == 0
    assert overlap(e[:2], e[[1, 0]]).item() == 1
    assert overlap(e[:2], e[[0, 4]]).item() == 0.5
