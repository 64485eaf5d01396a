"""Every published kind of sparse autoencoder against its library's equations, written out feature by feature."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae import read_sae, read_saelens, write_saelens

H, F = 5, 14
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def drawn(*names, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (H, F), "W_dec": (F, H), "b_dec": (H,)}
    tensors = {name: torch.randn(shapes.get(name, (F,)), generator=g, dtype=torch.float64) for name in names}
    if "threshold" in tensors:
        tensors["threshold"] = tensors["threshold"].abs()
    return {name: each.to(dtype) for name, each in tensors.items()}


LINEAR = ("W_enc", "b_enc", "W_dec", "b_dec")
GATED = ("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec")
ROWS = torch.randn(11, H, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def dot(row, column):
    return math.fsum(float(a) * float(b) for a, b in zip(row, column, strict=True))


def by_hand(w, active, subtract=True):
    """Features [n][F] and rebuilt rows [n][H] in plain Python; `active(z, f)` is feature f of z = x W_enc."""
    features, rebuilt = [], []
    for x in ROWS:
        inside = [float(x[i]) - float(w["b_dec"][i]) * subtract for i in range(H)]
        z = [dot(inside, w["W_enc"][:, f]) for f in range(F)]
        features.append([active(z, f) for f in range(F)])
        rebuilt.append([dot(features[-1], w["W_dec"][:, i]) + float(w["b_dec"][i]) for i in range(H)])
    return torch.tensor(features, dtype=torch.float64), torch.tensor(rebuilt, dtype=torch.float64)


def relu(w):
    return lambda z, f: max(z[f] + float(w["b_enc"][f]), 0.0)


def jumprelu(w):
    def active(z, f):
        pre = z[f] + float(w["b_enc"][f])
        return max(pre, 0.0) if pre > float(w["threshold"][f]) else 0.0

    return active


def gated(w):
    def active(z, f):
        opened = z[f] + float(w["b_gate"][f]) > 0
        return max(math.exp(float(w["r_mag"][f])) * z[f] + float(w["b_mag"][f]), 0.0) if opened else 0.0

    return active


def topk(w, k):
    def active(z, f):
        pre = [z[i] + float(w["b_enc"][i]) for i in range(F)]
        return max(pre[f], 0.0) if f in sorted(range(F), key=pre.__getitem__)[-k:] else 0.0

    return active


def agrees(sae, wanted):
    features, rebuilt = wanted
    assert 0 < (features > 0).double().mean() < 0.9
    torch.testing.assert_close(sae.encode(ROWS), features, **CLOSE)
    torch.testing.assert_close(sae.decode(sae.encode(ROWS)), rebuilt, **CLOSE)


def folder(path, config, tensors, names=("cfg.json", "sae_weights.safetensors")):
    path.mkdir(parents=True, exist_ok=True)
    (path / names[0]).write_text(json.dumps(config))
    stored = {name: each.contiguous() for name, each in tensors.items()}
    save_file(stored, path / names[1]) if names[1].endswith("safetensors") else torch.save(stored, path / names[1])
    return path


def saelens(path, tensors, **config):
    return folder(path, {"d_in": H, "d_sae": F, "dtype": "float64", **config}, tensors)


def exactly(path, **how):
    return read_sae(path, dtype=torch.float64, **how)


@pytest.mark.parametrize("subtract", [True, False])
def test_jumprelu_of_saelens(tmp_path, subtract):
    w = drawn(*LINEAR, "threshold")
    found = exactly(saelens(tmp_path / "a", w, architecture="jumprelu", apply_b_dec_to_input=subtract))
    agrees(found, by_hand(w, jumprelu(w), subtract))


@pytest.mark.parametrize("subtract", [True, False])
def test_gated_of_saelens(tmp_path, subtract):
    w = drawn(*GATED)
    found = exactly(saelens(tmp_path / "a", w, architecture="gated", apply_b_dec_to_input=subtract))
    agrees(found, by_hand(w, gated(w), subtract))


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_batchtopk_of_saelens_keeps_what_exceeds_the_threshold_of_its_training(tmp_path, architecture):
    w = drawn(*LINEAR)
    stored = w | {"topk_threshold": torch.tensor(0.7, dtype=torch.float64)}
    found = exactly(saelens(tmp_path / "a", stored, architecture=architecture, k=3))
    agrees(found, by_hand(w, jumprelu(w | {"threshold": torch.full((F,), 0.7)})))


def test_batchtopk_scaled_by_decoder_norms_compares_scaled_features(tmp_path):
    """SAELens' fold: encoder times the lengths of decoder rows, decoder over them, the threshold as it is."""
    w = drawn(*LINEAR)
    stored = w | {"topk_threshold": torch.tensor(0.7, dtype=torch.float64)}
    settings = {"architecture": "batchtopk", "k": 3, "rescale_acts_by_decoder_norm": True}
    found = exactly(saelens(tmp_path / "a", stored, **settings))
    lengths = w["W_dec"].norm(dim=1)

    def active(z, f):
        pre = (z[f] + float(w["b_enc"][f])) * float(lengths[f])
        return pre if pre > 0.7 else 0.0

    features, _ = by_hand(w, active)
    torch.testing.assert_close(found.encode(ROWS), features, **CLOSE)
    torch.testing.assert_close(found.decode(features), features / lengths @ w["W_dec"] + w["b_dec"], **CLOSE)


@pytest.mark.parametrize("name", ["log_threshold", "log_jumprelu_threshold"])
def test_thresholds_stored_as_logarithms(tmp_path, name):
    w = drawn(*LINEAR, "threshold")
    stored = {each: value for each, value in w.items() if each != "threshold"} | {name: w["threshold"].log()}
    agrees(exactly(saelens(tmp_path / "a", stored, architecture="jumprelu")), by_hand(w, jumprelu(w)))


def test_fine_tuned_features_are_scaled_where_they_are_written(tmp_path):
    w, factor = drawn(*LINEAR), torch.linspace(0.5, 2, F, dtype=torch.float64)
    for i, name in enumerate(("scaling_factor", "finetuning_scaling_factor")):
        found = exactly(saelens(tmp_path / f"{i}", w | {name: factor}, finetuning_scaling_factor=True))
        features, _ = by_hand(w, relu(w))
        torch.testing.assert_close(found.encode(ROWS), features, **CLOSE)
        torch.testing.assert_close(found.decode(features), (features * factor) @ w["W_dec"] + w["b_dec"], **CLOSE)


def test_scaling_factors_that_nothing_asks_for(tmp_path):
    w = drawn(*LINEAR)
    ones = saelens(tmp_path / "ones", w | {"scaling_factor": torch.ones(F)})
    agrees(exactly(ones), by_hand(w, relu(w)))
    others = saelens(tmp_path / "others", w | {"scaling_factor": torch.full((F,), 2.0)})
    with pytest.raises(PertprobeError, match="a tensor scaling_factor, but finetuning_scaling_factor is not true"):
        read_sae(others)


def test_a_k_without_an_architecture_is_refused(tmp_path):
    w = drawn(*LINEAR)
    with pytest.raises(PertprobeError, match="architecture is not said, but k is 3: 'topk' has a k, 'standard' none"):
        read_sae(saelens(tmp_path / "a", w, architecture=None, k=3))
    agrees(exactly(saelens(tmp_path / "b", w, architecture=None)), by_hand(w, relu(w)))


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("normalised", [True, "expected_average_only_in"])
def test_inputs_scaled_in_training_are_folded_into_the_weights(tmp_path, subtract, normalised):
    w, scale = drawn(*LINEAR, "threshold"), 1.7
    settings = {"architecture": "jumprelu", "normalize_activations": normalised, "apply_b_dec_to_input": subtract}
    path = saelens(tmp_path / "a", w, **settings)
    with pytest.raises(PertprobeError, match=r"not in the folder \(activation_scaler\.json\)"):
        read_sae(path)
    (path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale}))
    found = exactly(path)
    inside = ROWS * scale - w["b_dec"] * subtract
    pre = inside @ w["W_enc"] + w["b_enc"]
    features = pre.relu() * (pre > w["threshold"])
    torch.testing.assert_close(found.encode(ROWS), features, **CLOSE)
    torch.testing.assert_close(found.decode(features), (features @ w["W_dec"] + w["b_dec"]) / scale, **CLOSE)
    (path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": None}))
    with pytest.raises(PertprobeError, match=r"scaling_factor is None, a number above 0 is expected"):
        read_sae(path)


@pytest.mark.parametrize("name", ["constant_norm_rescale", "layer_norm"])
def test_norms_of_each_row_have_no_plain_form(tmp_path, name):
    path = saelens(tmp_path / "a", drawn(*LINEAR), normalize_activations=name)
    with pytest.raises(PertprobeError, match=f"'{name}' divides each activation by a norm of its own"):
        read_sae(path)


@pytest.mark.parametrize(
    ("old", "k"),
    [
        ({"activation_fn": "relu", "dtype": "torch.float32"}, None),
        ({"activation_fn_str": "relu", "normalize_activations": False, "architecture": "standard"}, None),
        ({"normalize_activations": None, "reshape_activations": None}, None),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}, 3),
        ({"activation_fn": "topk", "activation_fn_kwargs": {"k": 3}, "architecture": "standard"}, 3),
        ({"architecture": "topk", "k": 3, "hook_point": "blocks.2.hook_resid_post"}, 3),
    ],
)
def test_older_configs_of_saelens(tmp_path, old, k):
    w = drawn(*LINEAR)
    found = exactly(saelens(tmp_path / "a", w, **old))
    assert found.k == k
    agrees(found, by_hand(w, topk(w, k) if k else relu(w)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_few_bits_are_computed_with_in_float32(tmp_path, dtype):
    w = drawn(*LINEAR, dtype=dtype)
    path = saelens(tmp_path / "a", w, architecture="topk", k=3)
    wide = {name: each.double() for name, each in w.items()}
    found = read_sae(path)
    assert {each.dtype for each in found.tensors().values()} == {torch.float32}
    torch.testing.assert_close(
        found.encode(ROWS.float()).double(), by_hand(wide, topk(wide, 3))[0], rtol=1e-5, atol=1e-5
    )
    agrees(exactly(path), by_hand(wide, topk(wide, 3)))


def sparsify(path, tensors, **config):
    stored = {"encoder.weight": tensors["W_enc"].T, "encoder.bias": tensors["b_enc"]}
    stored |= {name: tensors[name] for name in ("W_dec", "b_dec")}
    settings = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": F, "k": 3,
                "multi_topk": False, "skip_connection": False, "transcode": False, "d_in": H}  # fmt: skip
    return folder(path, settings | config, stored, ("cfg.json", "sae.safetensors"))


def test_sparsify(tmp_path):
    w = drawn(*LINEAR)
    agrees(exactly(sparsify(tmp_path / "layers.2", w)), by_hand(w, topk(w, 3)))
    older = sparsify(tmp_path / "older", w)
    (older / "cfg.json").write_text(json.dumps({"expansion_factor": 32, "k": 3, "signed": False, "d_in": H}))
    agrees(exactly(older), by_hand(w, topk(w, 3)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"transcode": True}, "transcode: it maps one place of a model to another"),
        ({"skip_connection": True}, "skip_connection: it adds a linear map"),
        ({"activation": "groupmax"}, "activation 'groupmax' is not supported"),
        ({"signed": True}, "signed: it keeps features below 0"),
        ({"k": None}, "k is None, but there are 14 features"),
    ],
)
def test_what_sparsify_has_beyond_autoencoders_is_refused(tmp_path, change, named):
    with pytest.raises(PertprobeError, match=named):
        read_sae(sparsify(tmp_path / "a", drawn(*LINEAR), **change))


def dictionary(path, said, tensors, **trainer):
    settings = {"dict_class": said, "activation_dim": H, "dict_size": F, "layer": 2, "lm_name": "a"} | trainer
    return folder(path, {"trainer": settings, "buffer": {"ctx_len": 128}}, tensors, ("config.json", "ae.pt"))


def as_linears(w, bias="b_dec"):
    return {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T,
            bias: w["b_dec"]}  # fmt: skip


def test_plain_dictionaries_are_read_with_decoder_rows_of_length_1(tmp_path):
    w = drawn(*LINEAR)
    found = exactly(dictionary(tmp_path / "a", "AutoEncoder", as_linears(w, "bias")))
    features, rebuilt = by_hand(w, relu(w))
    torch.testing.assert_close(found.encode(ROWS), features * w["W_dec"].norm(dim=1), **CLOSE)
    torch.testing.assert_close(found.decode(found.encode(ROWS)), rebuilt, **CLOSE)
    newer = dictionary(tmp_path / "b", "AutoEncoderNew", as_linears(w, "decoder.bias"))
    agrees(exactly(newer), by_hand(w, relu(w), subtract=False))


@pytest.mark.parametrize("threshold", [-1.0, 0.4])
def test_topk_dictionaries_keep_the_k_largest_whatever_threshold_they_measured(tmp_path, threshold):
    w = drawn(*LINEAR)
    stored = as_linears(w) | {"k": torch.tensor(3, dtype=torch.int32), "threshold": torch.tensor(threshold)}
    agrees(exactly(dictionary(tmp_path / "a", "AutoEncoderTopK", stored, k=3)), by_hand(w, topk(w, 3)))
    with pytest.raises(PertprobeError, match=r"k is 4, but its tensor k is 3"):
        read_sae(dictionary(tmp_path / "b", "AutoEncoderTopK", stored, k=4))


@pytest.mark.parametrize("said", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
def test_batchtopk_dictionaries(tmp_path, said):
    w = drawn(*LINEAR)
    own = {"k": torch.tensor(3, dtype=torch.int32), "threshold": torch.tensor(0.5, dtype=torch.float64)}
    stored = as_linears(w) if said == "BatchTopKSAE" else w | {"group_sizes": torch.tensor([4, F - 4])}
    found = exactly(dictionary(tmp_path / "a", said, stored | own, k=3))
    agrees(found, by_hand(w, jumprelu(w | {"threshold": torch.full((F,), 0.5)})))
    early = stored | own | {"threshold": torch.tensor(-1.0)}
    with pytest.raises(PertprobeError, match=rf"the threshold of {said} is below 0: training ended before"):
        read_sae(dictionary(tmp_path / "b", said, early, k=3))


def test_gated_and_jumprelu_dictionaries(tmp_path):
    w = drawn(*GATED)
    stored = {"encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T, "decoder_bias": w["b_dec"],
              "gate_bias": w["b_gate"], "mag_bias": w["b_mag"], "r_mag": w["r_mag"]}  # fmt: skip
    agrees(exactly(dictionary(tmp_path / "a", "GatedAutoEncoder", stored)), by_hand(w, gated(w)))
    w = drawn(*LINEAR, "threshold", seed=1)
    found = exactly(dictionary(tmp_path / "b", "JumpReluAutoEncoder", w))
    agrees(found, by_hand(w, jumprelu(w), subtract=False))


def test_dictionaries_of_other_classes_are_refused(tmp_path):
    with pytest.raises(PertprobeError, match=r"trainer\.dict_class 'IdentityDict' is not supported, only AutoEncoder"):
        read_sae(dictionary(tmp_path / "a", "IdentityDict", as_linears(drawn(*LINEAR))))


@pytest.mark.parametrize(
    ("kind", "more", "advice"),
    [
        ("relu_l1", "threshold", "Set kind to jumprelu, if that is what it is"),
        ("topk", "threshold", "Set kind to jumprelu"),
        ("relu_l1", "r_mag", "Set kind to gated"),
        ("jumprelu", "W_skip", "Take them out if they are none"),
    ],
)
def test_no_tensor_of_a_state_dict_is_left_out(tmp_path, kind, more, advice):
    w = drawn(*LINEAR, *(["threshold"] if kind == "jumprelu" else []), more)
    torch.save(w, tmp_path / "a.pt")
    with pytest.raises(PertprobeError, match=rf"of the kind {kind} .* would leave out the tensors {more}.*{advice}"):
        read_sae(tmp_path / "a.pt", kind, k=3)


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod.sae."])
def test_state_dicts_with_thresholds_and_gates(tmp_path, wrapper):
    w = drawn(*LINEAR, "threshold")
    torch.save({wrapper + name: each for name, each in w.items()}, tmp_path / "a.pt")
    agrees(exactly(tmp_path / "a.pt", kind="jumprelu"), by_hand(w, jumprelu(w)))
    w = drawn(*GATED)
    torch.save({wrapper + name: each for name, each in w.items()}, tmp_path / "b.pt")
    agrees(exactly(tmp_path / "b.pt", kind="gated"), by_hand(w, gated(w)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W_enc": torch.full((H, F), math.nan)}, "'W_enc' has values that are not finite"),
        ({"b_enc": torch.zeros(F, dtype=torch.int8)}, "'b_enc' holds int8, no weights"),
        ({"threshold": torch.zeros(F - 1)}, r"'threshold' \(13,\) is not of one autoencoder with W_dec \(14, 5\)"),
        ({"b_enc": torch.full((F,), 1e300, dtype=torch.float64)}, "b_enc has values beyond what float32 holds"),
    ],
)
def test_tensors_that_are_no_weights_are_refused_by_name(tmp_path, change, message):
    path = saelens(tmp_path / "a", drawn(*LINEAR, "threshold") | change, architecture="jumprelu")
    with pytest.raises(PertprobeError, match=message):
        read_sae(path)


def test_a_folder_of_folders_names_those_in_it(tmp_path):
    sparsify(tmp_path / "layers.2", drawn(*LINEAR))
    with pytest.raises(PertprobeError, match=r"holds no autoencoder .*Give one of the folders in it: layers\.2"):
        read_sae(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        PertprobeError, match=r"cfg\.json and sae\.safetensors; config\.json and ae\.pt\); found: none\."
    ):
        read_sae(tmp_path / "empty")


def test_what_has_a_threshold_is_kept_as_saelens_keeps_it(tmp_path):
    w = drawn(*GATED)
    found = read_sae(saelens(tmp_path / "a", w, architecture="gated"))
    write_saelens(found, tmp_path / "b", {"layer": 1})
    assert json.loads((tmp_path / "b" / "cfg.json").read_text())["architecture"] == "jumprelu"
    again = read_saelens(tmp_path / "b")
    assert again.tensors().keys() == found.tensors().keys() == {*LINEAR, "threshold"}
    assert all(torch.equal(each, found.tensors()[name]) for name, each in again.tensors().items())
    moved = again.to("cpu")
    assert torch.equal(moved.encode(ROWS.float()), again.encode(ROWS.float()))


@pytest.mark.parametrize("architecture", ["jumprelu", "gated"])
def test_saelens_computes_the_same(tmp_path, architecture):
    sae_lens = pytest.importorskip("sae_lens", reason="SAELens is not installed (pip install sae-lens)")
    w = drawn(*(GATED if architecture == "gated" else (*LINEAR, "threshold")))
    path = saelens(tmp_path / "a", w, architecture=architecture, metadata={"sae_lens_version": "6.0.0"})
    theirs, own = sae_lens.SAE.load_from_disk(path), exactly(path)
    with torch.no_grad():
        torch.testing.assert_close(theirs.encode(ROWS), own.encode(ROWS), **CLOSE)
        torch.testing.assert_close(theirs(ROWS), own.decode(own.encode(ROWS)), **CLOSE)
