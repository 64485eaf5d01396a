"""Laws that every State model obeys, whatever its weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from closed_forms import confidence
from torch.func import jacrev, jvp, vjp, vmap

from pertprobe.errors import PertprobeError
from pertprobe.models.state.architecture import GeneDecoder, StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.load import load_state
from pertprobe.models.state.model import STAGES, StateModel
from pertprobe.models.state.write import write_state_directory

BASE = StateArchitecture(
    input_dim=9, hidden_dim=8, output_dim=9, pert_dim=5, batch_dim=3, cell_set_len=6, batch_encoder=True,
    n_layers=2, n_heads=4, n_kv_heads=2, head_dim=6, intermediate_dim=12, confidence_token=True,
)  # fmt: skip
GPT2 = {"backbone": "GPT2", "n_kv_heads": 4, "head_dim": 2, "intermediate_dim": 32, "norm_eps": 1e-5}
ARCHITECTURES = {
    "llama": BASE,
    "batch_token": replace(BASE, batch_encoder=False, batch_token=True, activation="selu", n_encoder_layers=3),
    "self": replace(BASE, attention="self", use_basal_projection=False, gene_decoder=GeneDecoder((6, 6), 9, True)),
    "all": replace(BASE, output_space="all", n_decoder_layers=1, embed_key=None),
    "embedding": replace(BASE, embed_key="X_emb", gene_decoder=GeneDecoder((6,), 4, False), predict_residual=False),
    "gpt2": replace(BASE, **GPT2),
    "gpt2_causal": replace(BASE, **GPT2, attention="causal"),
    "rope": replace(BASE, attention="causal_rope", confidence_token=False),
}
SETS = [name for name, architecture in ARCHITECTURES.items() if architecture.set_function]
BATCH = torch.tensor([0, 1, 2, 1, 0, 2])


def build(name, dtype=torch.float64):
    """Make a model whose every weight is random: biases and norms as well."""
    architecture = ARCHITECTURES[name]
    generator = torch.Generator().manual_seed(len(name))
    fresh = initial_parameters(architecture, 0)
    weights = {n: (w + 0.3 * torch.randn(w.shape, generator=generator)).to(dtype) for n, w in fresh.items()}
    genes = tuple(f"g{i}" for i in range(9)) if architecture.genes_in else tuple(f"X_emb_{i}" for i in range(9))
    return StateModel(
        architecture,
        weights,
        genes=genes,
        output_genes=genes if architecture.genes_in else ("a", "b", "c", "d"),
        perturbations=("A", "B", "C", "D", "ctrl"),
        perturbation_features=torch.eye(5),
        control="ctrl",
        batches=("b0", "b1", "b2"),
    )


@pytest.fixture(params=ARCHITECTURES)
def any_model(request):
    return build(request.param)


@pytest.fixture(params=SETS)
def any_set_model(request):
    return build(request.param)


def cells(*lead, seed=0):
    return torch.rand(*lead, 6, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def respond(model, X, pert=None, edit=None, batch=BATCH):
    encoded = model.encode_cells(X, batch)
    pert = model.encode_perturbations(["B"])[0] if pert is None else pert
    return model.decode(model.mix(pert, encoded, edit), encoded, X)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_prediction_does_not_depend_on_the_order_of_cells(any_set_model):
    X, order = cells(), torch.tensor([3, 0, 5, 1, 4, 2])
    close(respond(any_set_model, X[order], batch=BATCH[order]), respond(any_set_model, X)[order])


@pytest.mark.parametrize("name", ["rope", "gpt2_causal"])
def test_causal_cells_see_only_earlier_ones(name):
    model, X = build(name), cells()
    changed = X.clone()
    changed[-1] += 1.0
    close(respond(model, changed)[:-1], respond(model, X)[:-1], 0.0)
    changed = X.clone()
    changed[0] += 1.0
    assert (respond(model, changed)[1:] - respond(model, X)[1:]).abs().max() > 1e-6
    assert "set_function" not in model.capabilities


def test_prediction_is_the_composition_of_the_stages(any_model):
    X = cells(2)
    labels = np.array(any_model.batches)[BATCH]
    close(any_model.predict(X, "B", labels), respond(any_model, X), 0.0)
    close(any_model.predict(X.numpy(), "B", BATCH.numpy()), respond(any_model, X), 0.0)


def test_leading_axes_are_independent_sets(any_model):
    X = cells(2, 3)
    whole = any_model.predict(X, "B", BATCH.expand(2, 3, 6))
    assert whole.shape == (2, 3, 6, 9)
    close(whole[1, 2], any_model.predict(X[1, 2], "B", BATCH))
    codes = any_model.encode_perturbations(["A", "B"])
    close(respond(any_model, X[0, 0], codes)[1], any_model.predict(X[0, 0], "B", BATCH))


def test_no_batch_means_the_first_label(any_model):
    close(any_model.predict(cells(), "B"), any_model.predict(cells(), "B", ["b0"] * 6), 0.0)


def test_identical_cells_are_one_cell_of_their_multiplicity(any_set_model):
    X = cells()[:2]
    counts = torch.tensor([2.0, 4.0], dtype=torch.float64)
    copies = X.repeat_interleave(counts.long(), dim=0)
    pert = any_set_model.encode_perturbations(["B"])[0]
    encoded = any_set_model.encode_cells(X, BATCH[:2], counts)
    mixed = any_set_model.mix(pert, encoded)
    whole = respond(any_set_model, copies, batch=BATCH[:2].repeat_interleave(counts.long()))
    close(any_set_model.decode(mixed, encoded, X), whole[[0, 2]])
    if any_set_model.architecture.confidence_token:
        all_cells = any_set_model.encode_cells(copies, BATCH[:2].repeat_interleave(counts.long()))
        close(confidence(any_set_model, mixed), confidence(any_set_model, any_set_model.mix(pert, all_cells)))


def test_a_causal_model_refuses_multiplicities():
    model = build("rope")
    encoded = model.encode_cells(cells(), BATCH, torch.ones(6, dtype=torch.float64))
    with pytest.raises(PertprobeError, match="depends on the order of cells"):
        model.mix(model.encode_perturbations(["A"])[0], encoded)


def test_patching_a_run_with_itself_changes_nothing(any_model):
    X = cells()
    layers = any_model.mix(any_model.encode_perturbations(["B"])[0], any_model.encode_cells(X, BATCH)).layers
    assert len(layers) == any_model.n_layers + 1
    close(respond(any_model, X, edit=lambda layer, _: layers[layer]), respond(any_model, X), 0.0)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_every_layer_is_replaceable(any_model, at):
    X = cells()
    a, b = any_model.encode_perturbations(["A", "B"])
    donor = any_model.mix(b, any_model.encode_cells(X, BATCH)).layers[at]
    patched = respond(any_model, X, a, lambda layer, states: donor if layer == at else states)
    close(patched, respond(any_model, X, b))


def test_vector_jacobian_and_jacobian_vector_products_agree(any_model):
    X, generator = cells(), torch.Generator().manual_seed(1)
    u, v = (torch.randn(6, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    _, forward = jvp(lambda X: respond(any_model, X), (X,), (u,))
    _, pull = vjp(lambda X: respond(any_model, X), X)
    close((forward * v).sum(), (pull(v)[0] * u).sum())


def test_derivatives_match_central_differences(any_model):
    X, step = cells(), 1e-5
    direction = torch.randn(6, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    _, forward = jvp(lambda X: respond(any_model, X), (X,), (direction,))
    difference = respond(any_model, X + step * direction) - respond(any_model, X - step * direction)
    close(difference / (2 * step), forward, 1e-7)


def test_stages_can_be_mapped_over_sets_and_perturbations(any_model):
    X, codes = cells(3), any_model.encode_perturbations(["A", "B", "C"])
    mapped = vmap(lambda X, code: respond(any_model, X, code))(X, codes)
    close(mapped[2], respond(any_model, X[2], codes[2]))
    jacobians = vmap(jacrev(lambda code: respond(any_model, X[0], code).mean(dim=0)))(codes)
    assert jacobians.shape == (3, 9, 8)


def test_cells_stand_where_the_model_says(any_model):
    """A change of the last cell's input reaches the backbone at the last of the cells' positions, and only there."""
    X, pert = cells(), any_model.encode_perturbations(["B"])[0]
    changed = X.clone()
    changed[-1] += 1.0
    before, after = (any_model.mix(pert, any_model.encode_cells(x, BATCH)) for x in (X, changed))
    moved = (after.layers[0] != before.layers[0]).any(dim=-1)
    assert moved.nonzero().item() == range(len(moved))[any_model.cell_positions][-1]
    assert before.layers[-1][any_model.cell_positions, :].shape == before.h.shape


def test_float64_is_float64_throughout(any_model):
    encoded = any_model.encode_cells(cells(), BATCH)
    mixed = any_model.mix(any_model.encode_perturbations(["B"])[0], encoded)
    assert {layer.dtype for layer in (*mixed.layers, mixed.h, encoded.tokens)} == {torch.float64}


def test_first_and_last_linear_can_be_taken_off(any_model):
    """The factors of a Jacobian: everything between them runs in the hidden dimension."""
    X = cells()
    encoded = any_model.encode_projected(any_model.project_in(X), BATCH)
    mixed = any_model.mix(any_model.encode_perturbations(["B"])[0], encoded)
    before = any_model.project_out(any_model.decode_hidden(mixed, encoded), X)
    after = before.clamp_min(0.0) if any_model.architecture.output_relu else before
    close(after, respond(any_model, X), 0.0)


def test_weights_can_be_trained(any_model):
    weights = {name: weight.clone().requires_grad_() for name, weight in any_model.parameters.items()}
    model = any_model.with_parameters(weights)
    respond(model, cells()).square().sum().backward()
    prefixes = ("pert_encoder.", "basal_encoder", "transformer_backbone.layers.0", "transformer_backbone.h.0")
    trained = [weight for name, weight in weights.items() if name.startswith(prefixes)]
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in trained)


@pytest.mark.parametrize("keep", [(), ("encode_perturbations", "encode_cells"), tuple(STAGES)])
def test_redrawing_changes_all_weights_but_those_kept(any_model, keep):
    fresh = any_model.redraw(3, keep=keep)
    kept = tuple(prefix for stage in keep for prefix in STAGES[stage])
    for name, weight in any_model.parameters.items():
        assert torch.equal(weight, fresh.parameters[name]) == name.startswith(kept), name
    assert fresh.card["redrawn"] == {"seed": 3, "keep": list(keep)}
    assert "redrawn" not in any_model.card


def test_redrawing_is_fixed_by_its_seed(any_model):
    one, same, other = (any_model.redraw(seed).predict(cells(), "B") for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_redrawing_refuses_unknown_stages():
    with pytest.raises(PertprobeError, match=r"unknown stages encoder \(known: encode_perturbations"):
        build("llama").redraw(0, keep=["encoder"])


def test_initial_weights_have_the_distributions_of_training():
    wide = replace(ARCHITECTURES["gpt2"], hidden_dim=128, head_dim=32, intermediate_dim=512, input_dim=400)
    weights = initial_parameters(wide, 0)
    assert weights["basal_encoder.0.weight"].abs().max() <= 1 / 20
    assert weights["basal_encoder.0.weight"].std() == pytest.approx(1 / 20 / 3**0.5, rel=0.02)
    assert weights["basal_encoder.0.bias"].std() == pytest.approx(1 / 20 / 3**0.5, rel=0.2)
    assert weights["transformer_backbone.h.0.mlp.c_fc.weight"].std() == pytest.approx(0.02, rel=0.02)
    assert weights["transformer_backbone.h.0.mlp.c_proj.weight"].std() == pytest.approx(0.01, rel=0.02)
    assert not weights["transformer_backbone.h.0.mlp.c_fc.bias"].any()
    assert (weights["transformer_backbone.ln_f.weight"] == 1).all()
    assert weights["confidence_token.confidence_token"].std() == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_written_directory_reads_back_the_same(tmp_path, name):
    model = build(name, torch.float32)
    write_state_directory(model, tmp_path / "model")
    told = model.architecture.attention if model.architecture.backbone == "GPT2" else None
    again = load_state(tmp_path / "model", attention=told)
    assert replace(again.architecture, attention_source="given") == model.architecture
    assert again.batches == (model.batches if model.architecture.batch_encoder else ())
    for field in ("genes", "output_genes", "perturbations", "control", "set_size"):
        assert getattr(again, field) == getattr(model, field)
    X = cells().float()
    assert torch.equal(again.predict(X, "B", BATCH), model.predict(X, "B", BATCH))


def test_unknown_names_are_refused_with_the_known_ones():
    model = build("llama")
    with pytest.raises(PertprobeError, match=r"perturbation 'ctr' is unknown .*near matches: ctrl"):
        model.predict(cells(), "ctr")
    with pytest.raises(PertprobeError, match=r"unknown batch labels b7 \(known: b0, b1, b2\)"):
        model.predict(cells(), "B", ["b7"] * 6)
    with pytest.raises(PertprobeError, match=r"batch indices must lie in 0\.\.2"):
        model.predict(cells(), "B", [3] * 6)
    with pytest.raises(PertprobeError, match=r"cells must be \[\.\.\., cells, 9\].*not \(6, 8\)"):
        model.predict(cells()[:, :8], "B")


def test_an_embedding_model_without_decoder_has_no_gene_space():
    architecture = replace(ARCHITECTURES["embedding"], gene_decoder=None, output_space="embedding")
    fresh, template = initial_parameters(architecture, 0), build("embedding")
    model = StateModel(
        architecture, fresh, genes=template.genes, output_genes=(), perturbations=template.perturbations,
        perturbation_features=torch.eye(5), control="ctrl", batches=template.batches,
    )  # fmt: skip
    assert "gene_space" not in model.capabilities
    assert model.architecture.output_relu
    with pytest.raises(PertprobeError, match="no gene decoder"):
        model.predict_genes(cells(), "A")
