"""Weights that are none, in State directories and files of autoencoders: refused by name, before anything is built."""

import json
import struct

import pytest
import slow_state as slow
import torch
from safetensors.torch import save_file

from pertprobe.errors import PertprobeError
from pertprobe.interpret.sae import read_sae
from pertprobe.models.state.load import load_state

SEED = next(seed for seed in range(99) if slow.random_case(seed)[0]["backbone"] == "llama"
            and slow.random_case(seed)[0]["pattern"] == "bidirectional"
            and slow.random_case(seed)[0]["batch_encoder"] and not slow.random_case(seed)[0]["lora"])  # fmt: skip
WEIGHT = "project_out.0.weight"


@pytest.fixture
def directory(tmp_path):
    _, options = slow.random_case(SEED)
    return slow.write_directory(tmp_path / "model", options, slow.random_weights(options, 0))


def edited(file, change):
    saved = torch.load(file, weights_only=False)
    change(saved)
    torch.save(saved, file)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_weights_of_other_types_are_refused_by_name(directory, kind):
    def change(saved):
        saved["state_dict"][WEIGHT] = saved["state_dict"][WEIGHT].to(kind)

    edited(directory / "checkpoints/final.ckpt", change)
    name = str(kind).removeprefix("torch.")
    with pytest.raises(PertprobeError, match=rf"checkpoint: '{WEIGHT}' is of the type {name}, weights are floating"):
        load_state(directory)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_floating_types_are_read(directory, kind):
    def change(saved):
        saved["state_dict"] = {name: each.to(kind) for name, each in saved["state_dict"].items()}

    edited(directory / "checkpoints/final.ckpt", change)
    assert load_state(directory).parameters[WEIGHT].dtype == torch.float32


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_number_that_is_not_finite_is_found(directory, value):
    def change(saved):
        saved["state_dict"][WEIGHT][1, 2] = value

    edited(directory / "checkpoints/final.ckpt", change)
    with pytest.raises(PertprobeError, match=f"'{WEIGHT}' has values that are not finite"):
        load_state(directory)


@pytest.mark.parametrize(
    ("option", "where"),
    [
        ("n_encoder_layers", None),
        ("n_decoder_layers", None),
        ("num_hidden_layers", "transformer_backbone_kwargs"),
    ],
)
def test_a_thousand_million_layers_are_refused_before_they_are_made(directory, option, where):
    def change(saved):
        options = saved["hyper_parameters"]
        (options[where] if where else options)[option] = 10**9

    edited(directory / "checkpoints/final.ckpt", change)
    with pytest.raises(PertprobeError, match=r"ask for 1,000,000,000 layers .* but it holds .* tensors only"):
        load_state(directory)


@pytest.mark.parametrize("option", ["hidden_dim", "output_dim", "pert_dim", "input_dim", "cell_set_len", "batch_dim"])
def test_sizes_beyond_all_weights_end_in_words_or_change_nothing(directory, option):
    edited(directory / "checkpoints/final.ckpt", lambda saved: saved["hyper_parameters"].update({option: 10**12}))
    if option == "cell_set_len":
        assert load_state(directory).set_size == 10**12  # a promise of the file; cells say how many there are
        return
    with pytest.raises(PertprobeError, match=r"the options say|missing|features of size|checkpoint takes"):
        load_state(directory)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (torch.ones(1, slow.PERTURBATIONS), r"is \(1, 5\) of the type float32, one row of real numbers"),
        (torch.ones(slow.PERTURBATIONS, dtype=torch.complex64), "of the type complex64, one row of real"),
        (torch.full((slow.PERTURBATIONS,), torch.nan), "values that are not finite"),
        (torch.tensor(1.0), r"is \(\) of the type"),
    ],
)
def test_features_of_perturbations_are_rows_of_finite_numbers(directory, row, words):
    def change(saved):
        saved[next(iter(saved))] = row

    edited(directory / "pert_onehot_map.pt", change)
    with pytest.raises(PertprobeError, match=rf"pert_onehot_map\.pt: .*{words}"):
        load_state(directory)


@pytest.mark.parametrize("rows", [torch.full((3, 3), 0.5), torch.zeros(3, 3), torch.eye(3)[:, :2], torch.zeros(3, 0)])
def test_batches_that_are_not_one_of_each_are_refused(directory, rows):
    torch.save({f"b{i}": row.clone() for i, row in enumerate(rows)}, directory / "batch_onehot_map.torch")
    with pytest.raises(PertprobeError, match=r"batch_onehot_map\.torch: rows are not one-hot"):
        load_state(directory)


GOOD = {"W_enc": torch.ones(4, 6), "b_enc": torch.ones(6), "W_dec": torch.ones(6, 4), "b_dec": torch.ones(4)}
CONFIG = {"architecture": "standard", "d_in": 4, "d_sae": 6}


def autoencoder(folder, tensors, config=CONFIG):
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("W_enc", lambda w: w.to(torch.int8), "'W_enc' holds int8"),
        ("b_enc", lambda w: w.bool(), "'b_enc' holds bool"),
        ("W_dec", lambda w: w * torch.nan, "'W_dec' has values that are not finite"),
        ("b_dec", lambda w: w * torch.inf, "'b_dec' has values that are not finite"),
        ("W_enc", torch.zeros_like, "'W_enc' is zero throughout"),
        ("W_dec", torch.zeros_like, "'W_dec' is zero throughout"),
    ],
)
def test_autoencoders_of_other_numbers_are_refused(tmp_path, name, change, words):
    tensors = {**GOOD, name: change(GOOD[name])}
    with pytest.raises(PertprobeError, match=rf"sae: .*sae_weights\.safetensors: {words}"):
        read_sae(autoencoder(tmp_path, tensors))
    torch.save(tensors, tmp_path / "a.pt")
    with pytest.raises(PertprobeError, match=rf"sae: .*a\.pt: {words}"):
        read_sae(tmp_path / "a.pt", kind="relu_l1")


def test_half_precision_is_read_as_float32(tmp_path):
    sae = read_sae(autoencoder(tmp_path, {name: each.bfloat16() for name, each in GOOD.items()}))
    assert sae.W_enc.dtype == torch.float32
    assert torch.isfinite(sae.encode(torch.ones(2, 4))).all()


def with_header(header, content=bytes(24)):
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + content


def tensor(start, end, shape=(3,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


SAFETENSORS = {
    "offsets that overlap": with_header({"a": tensor(0, 12), "b": tensor(8, 20)}),
    "one place for two": with_header({"a": tensor(0, 12), "b": tensor(0, 12)}),
    "offsets outside": with_header({"a": tensor(0, 12), "b": tensor(12, 10**9, (249999997,))}),
    "offsets backwards": with_header({"a": tensor(12, 0)}),
    "negative offsets": with_header({"a": tensor(-12, 0)}),
    "a gap": with_header({"a": tensor(0, 12), "b": tensor(16, 24, (2,))}),
    "a tail": with_header({"a": tensor(0, 12)}),
    "a shape that is another": with_header({"a": tensor(0, 24, (2,))}),
    "a shape of 2^70": with_header({"a": tensor(0, 24, (2**35, 2**35))}),
    "an unknown type": with_header({"a": tensor(0, 24, (6,), "X32")}),
    "no JSON": with_header(b"{]"),
    "no object": with_header(b"[]"),
    "no UTF-8": with_header(b'{"\xff": 1}'),
    "a header longer than the file": struct.pack("<Q", 2**62) + b"{}",
    "a header of nothing": struct.pack("<Q", 0),
    "empty": b"",
    "short": b"\x01\x02",
    "zeros": bytes(100),
    "deep": with_header(b'{"a":' * 3000),
    "a pointer of LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
}


@pytest.mark.parametrize("case", SAFETENSORS)
def test_safetensors_that_lie_are_refused(tmp_path, case):
    (tmp_path / "a.safetensors").write_bytes(SAFETENSORS[case])
    with pytest.raises(PertprobeError, match=r"sae: .*a\.safetensors.* (cannot be read|pointer|holds no)"):
        read_sae(tmp_path / "a.safetensors", kind="relu_l1")
