"""Reading directories: old names, missing and damaged files, and files that would run code."""

import io
import os
import pickle
import shutil

import numpy as np
import pytest
import slow_state as slow
import torch

from pertprobe.errors import PertprobeError
from pertprobe.models.state.load import load_state
from pertprobe.readers.saved import read_saved

SEED = next(seed for seed in range(99) if slow.random_case(seed)[0]["backbone"] == "llama"
            and slow.random_case(seed)[0]["pattern"] == "bidirectional"
            and slow.random_case(seed)[0]["batch_encoder"] and not slow.random_case(seed)[0]["lora"])  # fmt: skip


@pytest.fixture
def directory(tmp_path):
    _, options = slow.random_case(SEED)
    return slow.write_directory(tmp_path / "model", options, slow.random_weights(options, 0))


def edit_checkpoint(path, change):
    file = path / "checkpoints" / "final.ckpt"
    saved = torch.load(file, weights_only=True)
    change(saved)
    torch.save(saved, file)


class Evil:
    """Pickles as a call that would leave a file behind."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize(
    "name", ["var_dims.pkl", "pert_onehot_map.pt", "batch_onehot_map.torch", "batch_onehot_map.pkl", "final.ckpt"]
)
def test_pickled_code_is_refused_by_name_and_not_run(directory, tmp_path, name):
    mark = tmp_path / "executed"
    file = directory / "checkpoints" / name if name.endswith("ckpt") else directory / name
    if name == "batch_onehot_map.pkl":
        (directory / "batch_onehot_map.torch").unlink()
    content = {"state_dict": Evil(mark), "gene_names": Evil(mark)}
    if name.endswith("pkl"):
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file)
    with pytest.raises(PertprobeError, match=rf"{name}: refused, since it asks for the global '(posix|nt)\.system'"):
        load_state(directory)
    assert not mark.exists()


def test_code_in_a_nested_tensor_is_refused(tmp_path):
    mark, buffer = tmp_path / "executed", io.BytesIO()
    torch.save(Evil(mark), buffer)

    class Nested:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (buffer.getvalue(),)

    (tmp_path / "map.pkl").write_bytes(pickle.dumps({"b0": Nested()}))
    with pytest.raises(PertprobeError, match=r"refused.*system"):
        read_saved(tmp_path / "map.pkl")
    assert not mark.exists()


def test_builtins_are_refused(tmp_path):
    (tmp_path / "map.pkl").write_bytes(b"cbuiltins\neval\n(S'1+1'\ntR.")
    with pytest.raises(PertprobeError, match=r"the global 'builtins\.eval'"):
        read_saved(tmp_path / "map.pkl")


def test_names_of_numpy_1_are_read(tmp_path):
    old = pickle.dumps({np.str_("b0"): np.int64(3)}, protocol=2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in old
    (tmp_path / "map.pkl").write_bytes(old)
    assert read_saved(tmp_path / "map.pkl") == {"b0": 3}


def test_legacy_names_and_pickles_are_read(directory):
    wanted = load_state(directory)
    rows = torch.eye(slow.BATCHES)
    old = pickle.dumps({np.str_(f"b{i}"): rows[i] for i in range(slow.BATCHES)})
    (directory / "batch_onehot_map.pkl").write_bytes(old)
    (directory / "batch_onehot_map.torch").unlink()
    (directory / "cell_type_onehot_map.pkl").write_bytes(pickle.dumps({np.str_("hepg2"): torch.ones(1)}))
    found = load_state(directory)
    assert found.batches == wanted.batches
    assert found.card["cell_types"] == ["hepg2"]


@pytest.mark.parametrize(
    ("present", "used"),
    [
        (["last.ckpt", "best.ckpt"], "last.ckpt"),
        (["best.ckpt", "step=100.ckpt"], "best.ckpt"),
        (["step=900.ckpt", "step=1000.ckpt"], "step=1000.ckpt"),
        (["step=step=20-val_loss=val_loss=0.1.ckpt", "step=3.ckpt"], "step=step=20-val_loss=val_loss=0.1.ckpt"),
    ],
)
def test_checkpoint_names_of_all_versions(directory, present, used):
    folder = directory / "checkpoints"
    for name in present:
        shutil.copy(folder / "final.ckpt", folder / name)
    (folder / "final.ckpt").unlink()
    assert f"checkpoints/{used}" in load_state(directory).card["sha256"]


def test_a_checkpoint_can_be_chosen(directory):
    shutil.copy(directory / "checkpoints" / "final.ckpt", directory / "checkpoints" / "best.ckpt")
    assert "checkpoints/best.ckpt" in load_state(directory, checkpoint="best").card["sha256"]
    with pytest.raises(PertprobeError, match=r"checkpoint: 'other' is not in .*found: best\.ckpt, final\.ckpt"):
        load_state(directory, checkpoint="other")


def test_all_missing_files_are_listed(directory):
    (directory / "config.yaml").unlink()
    (directory / "checkpoints" / "final.ckpt").unlink()
    with pytest.raises(PertprobeError, match=r"config\.yaml, checkpoints/final\.ckpt absent"):
        load_state(directory)


@pytest.mark.parametrize("name", ["var_dims.pkl", "pert_onehot_map.pt", "checkpoints/final.ckpt"])
def test_damaged_files_are_named(directory, name):
    whole = (directory / name).read_bytes()
    (directory / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PertprobeError, match=rf"{name.rsplit('/', 1)[-1]}: cannot be read, it is damaged"):
        load_state(directory)


def test_all_wrong_weights_are_listed_together(directory):
    def change(saved):
        weights = saved["state_dict"]
        del weights["project_out.0.bias"]
        weights["pert_encoder.0.weight"] = torch.zeros(2, 2)
        weights["surprise.weight"] = torch.zeros(1)
        weights["transformer_backbone.norm.weight"] = torch.full((slow.HIDDEN,), torch.nan)

    edit_checkpoint(directory, change)
    with pytest.raises(PertprobeError) as caught:
        load_state(directory)
    for part in ("4 faults", "'project_out.0.bias' is missing", "'surprise.weight' (1,) is unexpected",
                 "'pert_encoder.0.weight' is (2, 2)", "'transformer_backbone.norm.weight' has values"):  # fmt: skip
        assert part in str(caught.value)


def test_unknown_hyper_parameters_are_refused_by_name(directory):
    def change(saved):
        saved["hyper_parameters"]["twist"] = True
        saved["hyper_parameters"]["nb_decoder"] = True
        saved["hyper_parameters"]["transformer_backbone_kwargs"]["attention_bias"] = True

    edit_checkpoint(directory, change)
    with pytest.raises(PertprobeError) as caught:
        load_state(directory)
    for part in ("'twist' = True is unknown", "'nb_decoder' = True is not supported: the negative-binomial",
                 "'transformer_backbone_kwargs.attention_bias' = True is not supported"):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("finetune_vci_decoder", True, "needs a State Embedding checkpoint"),
        ("activation", "swish", "activation 'swish' is none of"),
        ("transformer_backbone_key", "mamba", "neither llama nor GPT2"),
        ("output_space", "latent", "is none of gene, all, embedding"),
        ("control_pert", "DMSO", "the control 'DMSO' is not among its 5 names"),
        ("pert_dim", None, "'pert_dim' is missing"),
        ("n_encoder_layers", "many", "missing or of the wrong type .*many"),
        ("batch_dim", 4, r"'batch_encoder.weight' is \(3, 8\), the options say \(4, 8\)"),
    ],
)
def test_options_that_cannot_be_read_are_refused(directory, option, value, message):
    edit_checkpoint(directory, lambda saved: saved["hyper_parameters"].update({option: value}))
    with pytest.raises(PertprobeError, match=message):
        load_state(directory)


def test_lora_weights_need_their_options_and_each_other(directory):
    name = "transformer_backbone.base_model.model.layers.0.self_attn.q_proj.lora_A.default.weight"
    edit_checkpoint(directory, lambda saved: saved["state_dict"].update({name: torch.zeros(2, slow.HIDDEN)}))
    with pytest.raises(PertprobeError, match="the hyper-parameters enable no LoRA"):
        load_state(directory)
    edit_checkpoint(directory, lambda saved: saved["hyper_parameters"]["lora"].update(enable=True))
    with pytest.raises(PertprobeError, match=r"LoRA weights of '.*q_proj' are incomplete"):
        load_state(directory)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", b"model: [", "config.yaml: is not valid YAML"),
        ("config.yaml", b"- state", "config.yaml: holds a list, not a dictionary"),
        ("var_dims.pkl", pickle.dumps([1]), "var_dims.pkl: holds a list, not a dictionary"),
        ("batch_onehot_map.pkl", pickle.dumps({"b0": 1}), "batch_onehot_map.pkl: holds no dictionary of names"),
    ],
)
def test_files_with_other_contents_are_refused(directory, name, content, message):
    if name == "batch_onehot_map.pkl":
        (directory / "batch_onehot_map.torch").unlink()
    (directory / name).write_bytes(content)
    with pytest.raises(PertprobeError, match=message):
        load_state(directory)


def test_position_embeddings_that_are_not_zero_are_refused(directory):
    name = "transformer_backbone.wpe.weight"
    edit_checkpoint(directory, lambda saved: saved["state_dict"].update({name: torch.ones(4, slow.HIDDEN)}))
    with pytest.raises(PertprobeError, match=r"wpe\.weight' is not zero"):
        load_state(directory)


def test_a_missing_flag_must_be_made_up_for(directory):
    def change(saved):
        del saved["hyper_parameters"]["transformer_backbone_kwargs"]["bidirectional_attention"]

    edit_checkpoint(directory, change)
    with pytest.raises(PertprobeError, match=r"no flag `bidirectional_attention`; set `attention:`.*transformers"):
        load_state(directory)
    assert load_state(directory, attention="causal").card["causal"]
    with pytest.raises(PertprobeError, match="attention: 'both' is none of bidirectional, causal"):
        load_state(directory, attention="both")


def test_an_override_against_the_flag_is_used_and_noted(directory):
    card = load_state(directory, attention="causal_rope").card
    assert card["attention"] == "causal_rope"
    assert any("which says 'bidirectional'" in warning for warning in card["warnings"])


def test_a_set_model_that_depends_on_the_order_of_cells_is_refused(directory, monkeypatch):
    monkeypatch.setattr("pertprobe.models.state.card.equivariance_error", lambda model: 0.5)
    with pytest.raises(PertprobeError, match=r"'bidirectional' should ignore the order of cells, .* by 5\.0e-01"):
        load_state(directory)


def test_config_only_fills_in_what_the_checkpoint_does_not_say(directory):
    config = "data: {kwargs: {embed_key: X_other}}\nmodel: {name: state, kwargs: {n_encoder_layers: 9}}\n"
    (directory / "config.yaml").write_text(config)
    card = load_state(directory).card
    assert any(
        "n_encoder_layers = 9" in warning and "the checkpoint is used" in warning for warning in card["warnings"]
    )


def test_other_models_of_arc_state_are_refused(directory):
    (directory / "config.yaml").write_text("model: {name: context_mean}\n")
    with pytest.raises(PertprobeError, match="'context_mean' is not State's transition model"):
        load_state(directory)
