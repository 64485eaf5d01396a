import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae import SparseAutoencoder, quality, read_saelens, train_sae, write_saelens
from pertprobe.interpret.sae.autoencoder import top_k


def random_sae(n_inputs=6, n_features=20, k=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    shapes = [(n_inputs, n_features), (n_features,), (n_features, n_inputs), (n_inputs,)]
    return SparseAutoencoder(*(torch.randn(shape, generator=g) for shape in shapes), k)


def planted(n, directions, seed, active=3):
    """Rows that are sums of a few of the directions, on an offset."""
    g = torch.Generator().manual_seed(seed)
    n_features = len(directions)
    codes = (torch.rand(n, n_features, generator=g) < active / n_features) * (
        0.5 + torch.rand(n, n_features, generator=g)
    )
    return codes @ directions + 3.0


def unit_directions(n_features, n_inputs, seed=0):
    directions = torch.randn(n_features, n_inputs, generator=torch.Generator().manual_seed(seed))
    return directions / directions.norm(dim=1, keepdim=True)


def tensors_of(sae):
    return sae.tensors()


def test_exactly_k_features_are_active_where_k_are_positive():
    values = torch.randn(50, 30, generator=torch.Generator().manual_seed(1)).abs() + 0.1
    kept = top_k(values, 5)
    assert ((kept > 0).sum(dim=1) == 5).all()
    assert (kept[kept > 0] == values[kept > 0]).all()
    assert (kept.max(dim=1).values == values.max(dim=1).values).all()
    assert (top_k(-values, 5) == 0).all()


def test_encode_and_decode_are_those_of_saelens_by_hand():
    sae, x = random_sae(), torch.randn(7, 6, generator=torch.Generator().manual_seed(2))
    for row, features in zip(x, sae.encode(x), strict=True):
        pre = (row - sae.b_dec) @ sae.W_enc + sae.b_enc
        expected = torch.zeros(20)
        for i in pre.argsort(descending=True)[:4]:
            expected[i] = max(pre[i], 0.0)
        torch.testing.assert_close(features, expected)
        torch.testing.assert_close(sae.decode(features), expected @ sae.W_dec + sae.b_dec)


def test_leading_axes_are_batch_axes():
    sae, x = random_sae(), torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(sae.encode(x)[1, 2], sae.encode(x[1, 2]))
    torch.testing.assert_close(torch.func.vmap(sae.encode)(x), sae.encode(x))


def test_what_is_saved_is_read_back_bit_by_bit(tmp_path):
    sae = random_sae()
    write_saelens(sae, tmp_path / "sae", {"models": ["a"], "layer": 2})
    again = read_saelens(tmp_path / "sae")
    assert again.k == sae.k
    assert all(torch.equal(tensor, getattr(again, name)) for name, tensor in tensors_of(sae).items())
    assert sorted(file.name for file in (tmp_path / "sae").iterdir()) == ["cfg.json", "sae_weights.safetensors"]


def test_config_has_the_fields_of_saelens(tmp_path):
    write_saelens(random_sae(), tmp_path, {"layer": 2})
    assert json.loads((tmp_path / "cfg.json").read_text()) == {
        "architecture": "topk",
        "d_in": 6,
        "d_sae": 20,
        "k": 4,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        "metadata": {"layer": 2, "sae_lens_version": "6.0.0"},
    }


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architecture": "transcoder"}, "architecture 'transcoder'"),
        ({"architecture": "jumprelu"}, r"no threshold \(one of threshold"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations 'layer_norm'"),
        ({"normalize_activations": "expected_average_only_in"}, "fold_activation_norm_scaling_factor"),
        ({"reshape_activations": "hook_z"}, "reshape_activations 'hook_z'"),
        ({"architecture": "standard", "activation_fn": "tanh-relu"}, "activation_fn 'tanh-relu'"),
        ({"k": 21}, "'k': 21"),
        ({"d_in": 7}, r"W_dec is \(20, 6\), \(20, 7\) expected"),
    ],
)
def test_foreign_configs_are_refused_by_name(tmp_path, change, named):
    write_saelens(random_sae(), tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text()) | change
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(PertprobeError, match=named):
        read_saelens(tmp_path)


def test_settings_left_out_have_saelens_defaults(tmp_path):
    write_saelens(random_sae(), tmp_path)
    needed = {"architecture": "topk", "d_in": 6, "d_sae": 20, "k": 4}
    (tmp_path / "cfg.json").write_text(json.dumps(needed))
    assert read_saelens(tmp_path).k == 4


def test_missing_broken_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(PertprobeError, match=r"cfg\.json is missing"):
        read_saelens(tmp_path)
    write_saelens(random_sae(), tmp_path)
    weights = tmp_path / "sae_weights.safetensors"
    save_file({**load_file(weights), "threshold": torch.zeros(20)}, weights)
    with pytest.raises(PertprobeError, match="threshold"):
        read_saelens(tmp_path)
    weights.write_bytes(b"not tensors")
    with pytest.raises(PertprobeError, match="cannot be read"):
        read_saelens(tmp_path)
    weights.unlink()
    with pytest.raises(PertprobeError, match=r"sae_weights\.safetensors is missing"):
        read_saelens(tmp_path)
    write_saelens(random_sae(), tmp_path)
    for text, message in (("{", "is not valid JSON"), ("[]", "holds a list, not settings by name")):
        (tmp_path / "cfg.json").write_text(text)
        with pytest.raises(PertprobeError, match=message):
            read_saelens(tmp_path)


def test_activations_of_another_width_are_refused():
    with pytest.raises(PertprobeError, match="7 wide, the SAE's input 6"):
        random_sae().encode(torch.zeros(2, 7))


@pytest.fixture(scope="module")
def trained():
    directions = unit_directions(32, 16)
    activations = {"a": planted(3000, directions, 1), "b": 2 * planted(3000, directions, 2) - 3}
    return train_sae(activations, 4, 6, seed=0, steps=800), activations


def test_planted_sparse_activations_are_explained(trained):
    sae, activations = trained
    table = quality(sae, activations)
    assert table.model.tolist() == ["a", "b"]
    assert (table.fvu < 0.1).all()
    for fvu, x in zip(table.fvu, activations.values(), strict=True):
        spectrum = torch.linalg.svdvals(x - x.mean(dim=0)).square()
        assert fvu < 0.3 * float(spectrum[6:].sum() / spectrum.sum())  # PCA with as many numbers a row
    assert (table.l0 <= 6).all()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64))


def test_held_out_rows_are_explained(trained):
    sae, _ = trained
    assert quality(sae, {"new": planted(1000, unit_directions(32, 16), 9)}).fvu[0] < 0.1


def test_training_is_decided_by_the_seed_and_not_by_the_order_of_models(trained):
    _, activations = trained
    few = [train_sae(activations, 2, 4, seed=s, steps=30) for s in (0, 0, 1)]
    turned = train_sae(dict(reversed(activations.items())), 2, 4, seed=0, steps=30)
    assert all(torch.equal(tensor, getattr(few[1], name)) for name, tensor in tensors_of(few[0]).items())
    assert all(torch.equal(tensor, getattr(turned, name)) for name, tensor in tensors_of(few[0]).items())
    assert not torch.equal(few[0].W_dec, few[2].W_dec)


def test_models_weigh_alike_whatever_their_rows_and_scale():
    directions = unit_directions(24, 12, seed=4)
    pool = {"few": planted(300, directions[:12], 5), "many": 2 * planted(6000, directions[12:], 6) - 3}
    table = quality(train_sae(pool, 4, 4, seed=0, steps=800), pool).set_index("model")
    assert table.fvu["few"] < 0.15
    assert table.fvu["many"] < 0.15


def test_scale_of_the_activations_does_not_matter(trained):
    _, activations = trained
    one = train_sae(activations, 2, 4, seed=0, steps=50)
    scaled = train_sae({model: 1024 * x for model, x in activations.items()}, 2, 4, seed=0, steps=50)
    torch.testing.assert_close(scaled.W_dec, one.W_dec, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scaled.b_dec, 1024 * one.b_dec, rtol=1e-3, atol=1e-1)


def test_quality_by_hand_counts_dead_features():
    identity = torch.eye(3)
    sae = SparseAutoencoder(identity, torch.zeros(3), identity, torch.zeros(3), 1)
    x = {"a": torch.tensor([[2.0, 1.0, 0.0], [4.0, 0.0, 0.0]]), "b": torch.tensor([[0.0, 3.0, 0.0], [0.0, 5.0, 0.0]])}
    table = quality(sae, x).set_index("model")
    assert table.fvu.tolist() == pytest.approx([1.0 / 2.5, 0.0])
    assert table.n.tolist() == [2, 2]
    assert table.l0.tolist() == [1.0, 1.0]
    assert table.dead.tolist() == [2, 2]
    assert table.dead_everywhere.tolist() == [1, 1]


def test_constant_activations_have_no_fraction_of_variance():
    x = {"a": torch.full((40, 4), 2.0)}
    table = quality(train_sae(x, 2, 2, seed=0, steps=5), x)
    assert np.isnan(table.fvu[0])


@pytest.mark.parametrize(
    ("activations", "k", "message"),
    [
        ({"a": torch.zeros(5, 4), "b": torch.zeros(5, 3)}, 2, "differ in width .*'a': 4, 'b': 3"),
        ({"a": torch.zeros(5, 4)}, 9, "k is 9, but there are 8 features"),
        ({"a": torch.full((5, 4), torch.nan)}, 2, r"not so: \['a'\]"),
        ({"a": torch.zeros(0, 4)}, 2, r"not so: \['a'\]"),
        ({}, 2, "at least one model"),
    ],
)
def test_activations_that_cannot_be_trained_on_are_refused(activations, k, message):
    with pytest.raises(PertprobeError, match=message):
        train_sae(activations, 2, k, seed=0, steps=1)


def test_the_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    train_sae({"a": torch.randn(20, 3)}, 2, 2, seed=0, steps=2)
    assert torch.get_num_threads() == before
