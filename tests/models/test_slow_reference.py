"""The reader against the slow forward pass, on random architectures of every variant."""

import numpy as np
import pytest
import slow_state as slow
import torch
from closed_forms import confidence

from pertprobe.models.state.load import load_state

CASES = range(60)
SET_CASES = [seed for seed in CASES if slow.random_case(seed)[0]["pattern"] in ("bidirectional", "self")]


def load(tmp_path, seed):
    case, options = slow.random_case(seed)
    weights = slow.random_weights(options, seed)
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(slow.PERTURBATIONS, slow.PERTURBATIONS, generator=generator)
    path = slow.write_directory(tmp_path / "model", options, weights, features)
    told = case["pattern"] if case["backbone"] == "GPT2" or case["pattern"] == "causal" else None
    model = load_state(path, attention=told, dtype=torch.float64)
    return case, options, weights, features, model


def test_random_cases_cover_every_choice():
    cases = [slow.random_case(seed)[0] for seed in CASES]
    for name, values in slow.CHOICES.items():
        assert {case[name] for case in cases} == set(values)
    pairs = {(case["predict_residual"], case["output_space"]) for case in cases}
    assert len(pairs) == 6
    assert len({(case["embed_key"], case["decoder"]) for case in cases}) >= 10
    assert {(case["backbone"], case["pattern"]) for case in cases} >= {("llama", p) for p in slow.CHOICES["pattern"]}


@pytest.mark.parametrize("seed", CASES)
def test_reader_agrees_with_the_slow_forward_pass(tmp_path, seed):
    _, options, weights, features, model = load(tmp_path, seed)
    rng = np.random.default_rng(seed)
    cells, batch = rng.random((slow.CELLS, slow.GENES)), rng.integers(slow.BATCHES, size=slow.CELLS)
    pattern = model.architecture.attention
    wanted = slow.forward(options, weights, pattern, features[2].double().numpy(), cells, batch)
    X = torch.tensor(cells)
    encoded = model.encode_cells(X, torch.tensor(batch))
    mixed = model.mix(model.encode_perturbations(["p2"])[0], encoded)
    np.testing.assert_allclose(torch.stack(mixed.layers), wanted.layers, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(model.decode(mixed, encoded, X), wanted.preds, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(model.predict(cells, "p2", batch), wanted.preds, rtol=1e-11, atol=1e-11)
    if wanted.confidence is not None:
        np.testing.assert_allclose(confidence(model, mixed), [wanted.confidence], rtol=1e-11, atol=1e-11)
    if wanted.genes is not None:
        genes = model.decode_genes(model.decode(mixed, encoded, X))
        np.testing.assert_allclose(genes, wanted.genes, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", SET_CASES)
def test_multiplicity_agrees_with_the_slow_forward_pass(tmp_path, seed):
    case, options, weights, features, model = load(tmp_path, seed)
    rng = np.random.default_rng(seed)
    cells, batch = rng.random((2, slow.GENES)), [1, 2]
    wanted = slow.forward(options, weights, case["pattern"], features[1].double().numpy(), cells, batch, [3.0, 5.0])
    X = torch.tensor(cells)
    encoded = model.encode_cells(X, torch.tensor(batch), torch.tensor([3.0, 5.0], dtype=torch.float64))
    mixed = model.mix(model.encode_perturbations(["p1"])[0], encoded)
    np.testing.assert_allclose(model.decode(mixed, encoded, X), wanted.preds, rtol=1e-11, atol=1e-11)
