"""The reader against numbers that State's own classes computed, for every shared model directory."""

import functools
import json

import numpy as np
import pytest
import torch
from closed_forms import confidence
from torch.func import jacfwd, vjp, vmap

from pertprobe.errors import PertprobeError
from pertprobe.models.state.backbone import final_norm
from pertprobe.models.state.card import shared_initialisation
from pertprobe.models.state.load import load_state

TOLD = {"st_gpt2_fewshot_A": "causal", "st_legacy0914_tf4524": "bidirectional"}
"""Attention patterns that the files do not tell."""
CAUSAL = {"st_gpt2_fewshot_A": "causal", "st_causal_fewshot_A": "causal_rope"}
NAMES = [
    "st_fewshot_A",
    "st_fewshot_B",
    "st_zeroshot_A",
    "st_conf_fewshot_A",
    "st_gpt2_fewshot_A",
    "st_causal_fewshot_A",
    "st_maskattn_fewshot_A",
    "st_lora_fewshot_A",
    "st_emb_fewshot_A",
    "st_all_fewshot_A",
    "st_nores_relu",
    "st_legacy0914_tf4524",
    "papalexi_fewshot_rep_1",
    "papalexi_fewshot_rep_2",
    "papalexi_zeroshot_rep_1",
]
F32, F64 = 1e-5, 1e-10


@functools.cache
def expected(path):
    with np.load(path / "expected.npz") as file:
        return {key: file[key] for key in file.files}


@functools.cache
def loaded(path, dtype):
    return load_state(path, attention=TOLD.get(path.name), dtype=dtype)


def run(model, want):
    """Return the stages' results for the five perturbations of the reference."""
    X = torch.as_tensor(want["X"]).to(model.dtype)
    encoded = model.encode_cells(X, torch.as_tensor(want["batch_index"]))
    mixed = model.mix(model.encode_perturbations(list(want["perts"])), encoded)
    return encoded, mixed, model.decode(mixed, encoded, X)


def close(found, wanted, tolerance):
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=0, atol=tolerance)


def test_every_shared_directory_is_compared(shared_path):
    assert {path.parent.name for path in shared_path("state").glob("*/expected.npz")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_float32_predictions_states_and_heads(shared_path, name):
    path = shared_path("state", name)
    model, want = loaded(path, torch.float32), expected(path)
    encoded, mixed, response = run(model, want)
    close(model.encode_perturbations(list(want["perts"])), want["pert_enc_f32"], F32)
    close(encoded.residual, want["basal_enc_f32"], F32)
    close(mixed.layers[0], want["seq_input_f32"], F32)
    # Where hidden states reach 33, State's own float32 numbers are 2.1e-5 off the true (float64) ones.
    hidden = max(2e-5, 1e-6 * np.abs(want["hidden_f32"]).max())
    close(torch.stack(mixed.layers[1:], dim=1), want["hidden_f32"], hidden)
    close(final_norm(model.architecture, model.parameters, mixed.layers[-1]), want["norm_f32"], F32)
    close(response, want["preds_f32"], F32)
    short = len(want["preds_short_f32"])
    labels = want["batch_label"][:short]
    close(model.predict(want["X"][:short], want["perts"][1], labels), want["preds_short_f32"], F32)
    assert ("confidence_f32" in want) == model.architecture.confidence_token
    assert ("decoder_f32" in want) == (model.architecture.gene_decoder is not None)
    if "confidence_f32" in want:
        close(confidence(model, mixed), want["confidence_f32"], F32)
    if "decoder_f32" in want:
        close(model.decode_genes(response), want["decoder_f32"], F32)


@pytest.mark.parametrize("name", NAMES)
def test_float64_predictions(shared_path, name):
    path = shared_path("state", name)
    model, want = loaded(path, torch.float64), expected(path)
    close(model.encode_perturbations(list(want["perts"])), want["pert_enc_f64"], F64)
    close(run(model, want)[2], want["preds_f64"], F64)
    sets = np.stack([want["X"], want["X"]])
    close(model.predict(sets, want["perts"][0], want["batch_label"])[1], want["preds_f64"][0], F64)


@pytest.mark.parametrize("name", NAMES)
def test_derivative_by_the_perturbation_code(shared_path, name):
    path = shared_path("state", name)
    model, want = loaded(path, torch.float64), expected(path)
    X = torch.as_tensor(want["X"]).double()
    encoded = model.encode_cells(X, torch.as_tensor(want["batch_index"]))

    def mean_response(pert):
        return model.decode(model.mix(pert, encoded), encoded, X).mean(dim=-2)

    codes = model.encode_perturbations(list(want["J_perts"]))
    close(vmap(jacfwd(mean_response))(codes), want["J_pertrepr"], F64)


@pytest.mark.parametrize("name", NAMES)
def test_derivative_by_the_cells(shared_path, name):
    path = shared_path("state", name)
    model, want = loaded(path, torch.float64), expected(path)
    batch, targets = torch.as_tensor(want["batch_index"]), torch.as_tensor(want["dX_targets"])

    def pull_back(pert):
        def targets_of(X):
            encoded = model.encode_cells(X, batch)
            return model.decode(model.mix(pert, encoded), encoded, X).mean(dim=-2)[targets]

        response, pull = vjp(targets_of, torch.as_tensor(want["X"]).double())
        return vmap(lambda seed: pull(seed)[0])(torch.eye(len(response), dtype=torch.float64))

    close(vmap(pull_back)(model.encode_perturbations(list(want["J_perts"]))), want["dX"], F64)


@pytest.mark.parametrize("name", NAMES)
def test_knock_out_shifts(shared_path, name):
    path = shared_path("state", name)
    model, want = loaded(path, torch.float64), expected(path)
    sets = np.repeat(want["X"][None], len(want["ko_genes"]) + 1, axis=0)
    for i, gene in enumerate(want["ko_genes"]):
        sets[i, :, gene] = 0.0
    for i, perturbation in enumerate(want["ko_perts"]):
        means = model.predict(sets, perturbation, want["batch_index"]).mean(dim=-2)
        close(means[:-1] - means[-1], want["ko_shift"][i], F64)


@pytest.mark.parametrize("name", NAMES)
def test_card_says_what_the_model_is(shared_path, name):
    model = loaded(shared_path("state", name), torch.float32)
    card = json.loads(json.dumps(model.card))
    assert card["attention"] == CAUSAL.get(name, "self" if "maskattn" in name else "bidirectional")
    assert card["causal"] == (name in CAUSAL) == (not card["permutation_equivariant"])
    assert card["attention_source"] == ("override" if name in TOLD else "flag")
    assert ("legacy" in name) == card["generation"].startswith("before")
    assert card["lora_merged"] == ("lora" in name)
    assert "checkpoints/final.ckpt" in card["sha256"]
    assert len(card["sha256"]) == 6
    assert ("set_function" in model.capabilities) == (name not in CAUSAL)
    assert ("gene_space" in model.capabilities) == ("emb" not in name)


@pytest.mark.parametrize("name", sorted(TOLD))
def test_undecided_attention_must_be_given(shared_path, name):
    with pytest.raises(PertprobeError, match=r"attention: .* set `attention:` \(bidirectional, causal"):
        load_state(shared_path("state", name))


def test_another_pattern_is_another_function(shared_path):
    path = shared_path("state", "st_legacy0914_tf4524")
    want = expected(path)
    causal = load_state(path, attention="causal")
    change = causal.predict(want["X"], want["perts"][0], want["batch_index"]) - torch.as_tensor(want["preds_f32"][0])
    assert change.abs().max() > 1e-3
    assert any("given by the user" in warning for warning in causal.card["warnings"])


def test_an_embedding_model_answers_in_genes_through_its_decoder(shared_path):
    path = shared_path("state", "st_emb_fewshot_A")
    model, want = loaded(path, torch.float32), expected(path)
    genes = model.predict_genes(want["X"], want["perts"][0], want["batch_label"])
    close(genes, want["decoder_f32"][0], F32)
    assert len(model.output_genes) == genes.shape[-1] == 240
    assert len(model.output_features) == len(model.genes) == 24


def test_a_gene_model_answers_in_genes_by_itself(shared_path):
    path = shared_path("state", "st_fewshot_A")
    model, want = loaded(path, torch.float32), expected(path)
    close(model.predict_genes(want["X"], want["perts"][0], want["batch_index"]), want["preds_f32"][0], F32)
    assert model.genes == model.output_genes == tuple(want["gene_names"])


def test_shared_initialisation_shows(shared_path):
    models = {name: loaded(shared_path("state", name), torch.float32) for name in NAMES if "gpt2" not in name}
    papalexi = shared_initialisation(models["papalexi_fewshot_rep_1"], models["papalexi_fewshot_rep_2"])
    assert papalexi["matched"] == pytest.approx(0.98, abs=0.01)
    assert papalexi["mismatched"] == pytest.approx(0.01, abs=0.01)
    assert papalexi["backbone"] == pytest.approx(0.77, abs=0.01)
    lines = shared_initialisation(models["st_fewshot_A"], models["st_fewshot_B"])
    assert lines["matched"] == pytest.approx(0.73, abs=0.01)
    redrawn = models["st_fewshot_B"].redraw(1)
    other = shared_initialisation(models["st_fewshot_A"], redrawn)
    assert abs(other["difference"]) < 0.1
    assert abs(other["backbone"]) < 0.1
    assert shared_initialisation(models["st_fewshot_A"], models["papalexi_fewshot_rep_1"])["matched"] is None
