"""Autoencoders trained elsewhere: every layout reads as the same numbers, and what has no plain form is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae import SparseAutoencoder, read_sae, read_saelens, sae_arguments, write_saelens
from pertprobe.interpret.sae.pool import check_width
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel

H, F = 6, 20


def tensors(seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (H, F), "b_enc": (F,), "W_dec": (F, H), "b_dec": (H,)}
    return {name: torch.randn(shape, generator=g).to(dtype) for name, shape in shapes.items()}


def rows(n=9):
    return torch.randn(n, H, generator=torch.Generator().manual_seed(7))


def saelens(folder, weights, **config):
    """Write a directory as SAELens does."""
    folder.mkdir(exist_ok=True)
    save_file({name: each.contiguous() for name, each in weights.items()}, folder / "sae_weights.safetensors")
    common = {"d_in": H, "d_sae": F, "dtype": "float32", "device": "cuda", "apply_b_dec_to_input": True,
              "normalize_activations": "none", "reshape_activations": "none",
              "metadata": {"hook_name": "blocks.4.hook_resid_post"}}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(common | config))
    return folder


def by_hand(w, x, k=None, subtract=True, rescale=False):
    """What SAELens computes, one row after the other: features and reconstruction."""
    features, rebuilt = [], []
    norms = w["W_dec"].norm(dim=1)
    for row in x:
        pre = (row - w["b_dec"] * subtract) @ w["W_enc"] + w["b_enc"]
        pre = pre * norms if rescale else pre
        kept = torch.zeros(F)
        for i in pre.argsort(descending=True)[: F if k is None else k]:
            kept[i] = max(pre[i].item(), 0.0)
        features.append(kept)
        rebuilt.append((kept / norms if rescale else kept) @ w["W_dec"] + w["b_dec"])
    return torch.stack(features), torch.stack(rebuilt)


def same(sae, w, **how):
    features, rebuilt = by_hand(w, rows(), **how)
    torch.testing.assert_close(sae.encode(rows()), features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sae.decode(sae.encode(rows())), rebuilt, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("subtract", [True, False])
def test_a_standard_saelens_directory(tmp_path, subtract):
    w = tensors()
    found = read_sae(saelens(tmp_path / "a", w, architecture="standard", apply_b_dec_to_input=subtract))
    assert found.k is None
    same(found, w, subtract=subtract)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("rescale", [True, False])
def test_a_topk_saelens_directory(tmp_path, subtract, rescale):
    w = tensors()
    settings = {"apply_b_dec_to_input": subtract, "rescale_acts_by_decoder_norm": rescale}
    found = read_sae(saelens(tmp_path / "a", w, architecture="topk", k=4, **settings))
    assert found.k == 4
    same(found, w, k=4, subtract=subtract, rescale=rescale)


def test_older_configs_name_the_activation_apart(tmp_path):
    w = tensors()
    old = {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3},
           "finetuning_scaling_factor": False}  # fmt: skip
    same(read_sae(saelens(tmp_path / "a", w, **old)), w, k=3)
    same(read_sae(saelens(tmp_path / "b", w, architecture="standard", activation_fn_str="relu")), w)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architecture": "transcoder"}, "architecture 'transcoder' is not supported, only standard, topk, jumprelu"),
        ({"normalize_activations": "expected_average_only_in"}, "fold_activation_norm_scaling_factor"),
        ({"normalize_activations": "constant_norm_rescale"}, "normalize_activations 'constant_norm_rescale'"),
        ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor is true, but there is no tensor"),
        ({"d_sae": 21}, "does not fit its cfg.json"),
    ],
)
def test_what_has_no_plain_form_is_refused_by_name(tmp_path, change, named):
    folder = saelens(tmp_path / "a", tensors(), **{"architecture": "standard", **change})
    with pytest.raises(PertprobeError, match=named):
        read_sae(folder)


def test_a_directory_that_says_otherwise_than_the_config_is_refused(tmp_path):
    folder = saelens(tmp_path / "a", tensors(), architecture="standard")
    assert read_sae(folder, kind="relu_l1").k is None
    with pytest.raises(PertprobeError, match=r"its config says relu_l1, yours topk"):
        read_sae(folder, kind="topk", k=4)


LAYOUTS = {
    "saelens": lambda w: w,
    "linear": lambda w: {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"],
                         "decoder.weight": w["W_dec"].T, "decoder.bias": w["b_dec"]},
    "dictionary_learning": lambda w: {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"],
                                      "decoder.weight": w["W_dec"].T, "bias": w["b_dec"]},
    "sparsify": lambda w: {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "W_dec": w["W_dec"],
                           "b_dec": w["b_dec"]},
    "openai": lambda w: {"encoder.weight": w["W_enc"].T, "latent_bias": w["b_enc"], "decoder.weight": w["W_dec"].T,
                         "pre_bias": w["b_dec"]},
    "wrapped": lambda w: {f"module.sae.{name}": each for name, each in w.items()},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_state_dicts_under_any_usual_names(tmp_path, layout, suffix):
    w, file = tensors(), tmp_path / f"weights{suffix}"
    stored = {name: each.contiguous() for name, each in LAYOUTS[layout](w).items()}
    save_file(stored, file) if suffix == ".safetensors" else torch.save(stored, file)
    # A plain pair of Linears has a bias at its output and none at its input.
    same(read_sae(file, "relu_l1"), w, subtract=layout != "linear")
    same(read_sae(file, "topk", k=5), w, k=5, subtract=layout != "linear")
    same(read_sae(file, "relu_l1", apply_b_dec_to_input=False), w, subtract=False)


def test_a_k_in_the_file_counts_more_than_that_of_the_config(tmp_path):
    w = tensors()
    torch.save({**w, "k": torch.tensor(2)}, tmp_path / "a.pt")
    same(read_sae(tmp_path / "a.pt", "topk", k=32), w, k=2)


def test_a_checkpoint_may_hold_the_state_dict_one_level_down(tmp_path):
    w = tensors(dtype=torch.float64)
    torch.save({"step": 3, "state_dict": w}, tmp_path / "a.ckpt")
    found = read_sae(tmp_path / "a.ckpt", "relu_l1")
    assert found.W_enc.dtype == torch.float32
    same(found, {name: each.float() for name, each in w.items()})


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({}, None, r"does not say which features are active\. Set kind \(topk: the k largest"),
        ({"W_dec": None}, "relu_l1", r"no W_dec \(one of W_dec, decoder.weight\) among W_enc, b_dec, b_enc"),
        ({"W_enc": torch.zeros(F, H)}, "relu_l1", r"'W_enc' \(20, 6\) is not of one autoencoder"),
    ],
)
def test_state_dicts_that_do_not_say_enough_are_refused(tmp_path, change, kind, message):
    w = {name: each for name, each in (tensors() | change).items() if each is not None}
    torch.save(w, tmp_path / "a.pt")
    with pytest.raises(PertprobeError, match=message):
        read_sae(tmp_path / "a.pt", kind)


def test_topk_needs_a_k_within_the_features(tmp_path):
    torch.save(tensors(), tmp_path / "a.pt")
    for k in (None, 21):
        with pytest.raises(PertprobeError, match=f"k is {k}, but there are 20 features"):
            read_sae(tmp_path / "a.pt", "topk", k=k)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(PertprobeError, match="neither a folder nor a file of tensors"):
        read_sae(tmp_path / "a.csv", "relu_l1")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(PertprobeError, match="holds no tensors by name"):
        read_sae(tmp_path / "list.pt", "relu_l1")
    with pytest.raises(PertprobeError):
        read_sae(tmp_path / "absent.pt", "relu_l1")


def test_pickled_code_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("executed",)

    torch.save({"W_enc": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(PertprobeError, match="print"):
        read_sae(tmp_path / "evil.pt", "relu_l1")


@pytest.mark.parametrize("k", [None, 4])
def test_what_is_read_elsewhere_is_written_in_our_layout_and_read_back(tmp_path, k):
    kind = {"architecture": "standard"} if k is None else {"architecture": "topk", "k": k}
    found = read_sae(saelens(tmp_path / "a", tensors(), apply_b_dec_to_input=False, **kind))
    write_saelens(found, tmp_path / "b", {"layer": 1})
    again = read_saelens(tmp_path / "b")
    assert again.k == k
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.equal(getattr(again, name), getattr(found, name))
    written = json.loads((tmp_path / "b" / "cfg.json").read_text())
    assert written["architecture"] == kind["architecture"]
    assert ("k" in written) == (k is not None)


@pytest.mark.parametrize("k", [4, None], ids=["topk", "standard"])
def test_what_is_written_is_the_layout_of_saelens_6(tmp_path, k):
    """Every field of its StandardSAEConfig and TopKSAEConfig and no other, tensors by its names."""
    write_saelens(SparseAutoencoder(**tensors(), k=k), tmp_path, {"layer": 2, "models": ["a", "b"]})
    config = json.loads((tmp_path / "cfg.json").read_text())
    common = {
        *("architecture", "d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input"),
        *("normalize_activations", "reshape_activations", "metadata"),
    }
    assert set(config) == common | ({"k", "rescale_acts_by_decoder_norm"} if k else set())
    assert config["architecture"] == ("topk" if k else "standard")
    assert config["metadata"] == {"layer": 2, "models": ["a", "b"], "sae_lens_version": "6.0.0"}
    held = load_file(tmp_path / "sae_weights.safetensors")
    assert {name: tuple(each.shape) for name, each in held.items()} == {
        "W_enc": (H, F),
        "b_enc": (F,),
        "W_dec": (F, H),
        "b_dec": (H,),
    }
    assert {str(each.dtype) for each in held.values()} == {f"torch.{config['dtype']}"}


@pytest.mark.parametrize("k", [4, None], ids=["topk", "standard"])
def test_saelens_opens_what_is_written_and_computes_the_same(tmp_path, k):
    sae_lens = pytest.importorskip("sae_lens", reason="SAELens is not installed (pip install sae-lens)")
    own = SparseAutoencoder(**tensors(), k=k)
    write_saelens(own, tmp_path, {"layer": 2, "models": ["a", "b"]})
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(theirs.encode(rows()).to_dense(), own.encode(rows()))
        torch.testing.assert_close(theirs(rows()), own.decode(own.encode(rows())))
    assert theirs.cfg.architecture() == ("topk" if k else "standard")
    assert (theirs.cfg.metadata.layer, theirs.cfg.metadata.models) == (2, ["a", "b"])
    theirs.save_model(tmp_path / "again")  # and back
    torch.testing.assert_close(read_saelens(tmp_path / "again").encode(rows()), own.encode(rows()))


def test_arguments_are_those_of_the_config():
    entry = {"models": ["a"], "layer": 1, "path": "x", "kind": "topk", "k": 8, "steps": 9, "seeds": 1}
    assert sae_arguments(entry) == {"path": "x", "kind": "topk", "k": 8}


def test_an_autoencoder_of_the_wrong_width_is_refused_with_both_widths():
    architecture = StateArchitecture(
        input_dim=5, output_dim=5, pert_dim=3, hidden_dim=8, cell_set_len=4, n_layers=1, n_heads=2, n_kv_heads=2,
        head_dim=4, intermediate_dim=8,
    )  # fmt: skip
    genes = [f"g{i}" for i in range(5)]
    model = StateModel(
        architecture, initial_parameters(architecture, 0), genes=genes, output_genes=genes,
        perturbations=["a", "b", "ctrl"], perturbation_features=torch.eye(3), control="ctrl",
    )  # fmt: skip
    fitting, narrow = (SparseAutoencoder(torch.zeros(w, 3), torch.zeros(3), torch.zeros(3, w), torch.zeros(w), None)
                       for w in (8, 6))  # fmt: skip
    check_width("joint", fitting, "m", model)
    with pytest.raises(PertprobeError, match=r"sae\.joint: its input is 6 wide, the hidden states of m 8"):
        check_width("joint", narrow, "m", model)


BEGINNINGS = {
    "nothing": b"",
    "holes": b"\0" * 64,
    "no header": (10).to_bytes(8, "little"),
    "a header beyond the file": (2**40).to_bytes(8, "little") + b"{",
    "a list": (2).to_bytes(8, "little") + b"[]",
}


@pytest.mark.parametrize("begins", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_file_that_does_not_begin_as_safetensors_is_refused_before_it_is_mapped(tmp_path, begins, monkeypatch):
    path = saelens(tmp_path / "a", tensors()) / "sae_weights.safetensors"
    path.write_bytes(begins)
    monkeypatch.setattr("pertprobe.readers.weights.load_file", lambda path: pytest.fail("it was mapped"))
    with pytest.raises(PertprobeError, match="it does not begin with a header of safetensors"):
        read_sae(path.parent)
