"""State directories of other days and hands: read as their own version computes, or refused naming what differs."""

import pickle

import numpy as np
import pytest
import slow_state as slow
import torch
import yaml

from pertprobe.errors import PertprobeError
from pertprobe.models import load_model
from pertprobe.models.batch_labels import matched_labels
from pertprobe.models.state.load import load_state


def options_of(**wanted):
    """Hyper-parameters of the first random case that has these choices; without LoRA."""
    wanted = {"lora": False} | wanted
    for seed in range(5000):
        case, options = slow.random_case(seed)
        if all(case[name] == value for name, value in wanted.items()):
            return options
    raise AssertionError(f"no case has {wanted}")


LLAMA = {"backbone": "llama", "pattern": "bidirectional", "embed_key": "X_hvg", "output_space": "gene"}


@pytest.fixture
def options():
    return options_of(**LLAMA, batch_encoder=True, use_basal_projection=True, decoder=None)


def written(path, options, weights=None):
    return slow.write_directory(path, options, slow.random_weights(options, 0) if weights is None else weights)


def edit_checkpoint(path, change):
    file = path / "checkpoints" / "final.ckpt"
    saved = torch.load(file, weights_only=True)
    saved = change(saved) or saved
    torch.save(saved, file)


def edit_config(path, change):
    held = yaml.safe_load((path / "config.yaml").read_text())
    change(held)
    (path / "config.yaml").write_text(yaml.safe_dump(held))


def rename_perturbations(path, names):
    held = torch.load(path / "pert_onehot_map.pt", weights_only=False)
    torch.save({names.get(str(name), str(name)): row for name, row in held.items()}, path / "pert_onehot_map.pt")


def warnings(model):
    return " | ".join(model.card["warnings"])


def agrees(path, options, weights, pattern="bidirectional", forward=slow.forward, **how):
    """Compare with the slow reference under two perturbations, in float64."""
    model = load_state(path, dtype=torch.float64, **how)
    rng = np.random.default_rng(3)
    cells, batch = rng.random((slow.CELLS, slow.GENES)), rng.integers(slow.BATCHES, size=slow.CELLS)
    for row, name in enumerate(slow.names("p", slow.PERTURBATIONS)[:2]):
        wanted = forward(options, weights, pattern, np.eye(slow.PERTURBATIONS)[row], cells, batch).preds
        found = model.predict(cells, name, np.array([f"b{i}" for i in batch]))
        np.testing.assert_allclose(found.numpy(), np.array(wanted), rtol=0, atol=1e-12)
    return model


@pytest.mark.parametrize("name", ["PertSets", "pertsets", "NeuralOT", "neuralot", "STATE"])
def test_earlier_names_of_the_same_class_are_read(tmp_path, options, name):
    path = written(tmp_path / "m", options)
    edit_config(path, lambda held: held["model"].update(name=name))
    model = load_state(path)
    assert (f"config.yaml calls the model '{name}'" in warnings(model)) == (name != "STATE")


@pytest.mark.parametrize("name", ["old_neuralot", "context_mean", "pseudobulk"])
def test_other_classes_are_refused_with_the_names_of_this_one(tmp_path, options, name):
    path = written(tmp_path / "m", options)
    edit_config(path, lambda held: held["model"].update(name=name))
    with pytest.raises(PertprobeError, match=f"model '{name}' is not .* which is called state or pertsets or neuralot"):
        load_state(path)


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (lambda name: f"_orig_mod.{name}", "'_orig_mod.'"),
        (lambda name: f"module.{name}", "'module.'"),
        (lambda name: f"model.{name}", "'model.'"),
        (lambda name: f"model._orig_mod.{name}", "'_orig_mod.' and 'model.'"),
        (lambda name: f"net.state_model.{name}", "'net.state_model.'"),
        (lambda name: name.replace("transformer_backbone.", "transformer_backbone._orig_mod."), "'_orig_mod.'"),
        (lambda name: name.replace("project_out.", "project_out.module."), "'module.'"),
    ],
)
def test_prefixes_are_left_out_and_said(tmp_path, options, rename, said):
    weights = slow.random_weights(options, 0)
    path = written(tmp_path / "m", options, {rename(name): each for name, each in weights.items()})
    model = agrees(path, options, weights)
    assert f"names of weights hold {said}, which was left out" in warnings(model)


def test_one_weight_under_two_names_is_refused(tmp_path, options):
    weights = slow.random_weights(options, 0)
    twice = {"module.pert_encoder.0.bias": weights["pert_encoder.0.bias"] + 1}
    with pytest.raises(
        PertprobeError, match=r"several weights called pert_encoder\.0\.bias, with and without a prefix"
    ):
        load_state(written(tmp_path / "m", options, weights | twice))


def test_the_checkpoint_of_another_model_is_one_fault_and_not_a_list(tmp_path, options):
    other = {f"encoder.layer{i}.weight": torch.zeros(2) for i in range(40)}
    with pytest.raises(PertprobeError) as caught:
        load_state(written(tmp_path / "m", options, other))
    assert len(caught.value.messages) == 2
    assert "weights are missing ('pert_encoder.0.weight', " in caught.value.messages[0]
    assert "is this the file of another model?" in caught.value.messages[0]
    assert "40 of 40 weights are unexpected" in caught.value.messages[1]


@pytest.mark.parametrize("decoder", ["plain", "residual"])
@pytest.mark.parametrize("embed_key", ["X_hvg", "X_emb"])
def test_the_gene_decoder_is_sized_by_its_weights_where_the_options_are_silent(tmp_path, decoder, embed_key):
    options = options_of(**LLAMA | {"embed_key": embed_key}, decoder=decoder)
    weights = slow.random_weights(options, 0)
    path = written(tmp_path / "m", options, weights)
    wanted = load_state(path).architecture
    edit_checkpoint(path, lambda saved: saved["hyper_parameters"].pop("decoder_cfg") and None)
    model = agrees(path, options, weights)
    assert model.architecture == wanted
    assert wanted.gene_decoder.hidden_dims == (6, 6, 6, 6)
    assert "sizes of the gene decoder were read from its weights" in warnings(model)


def test_one_linear_that_encodes_cells_is_seen_where_the_options_are_silent(tmp_path):
    """State 0.9.4 to 0.9.6 had no option for it."""
    options = options_of(**LLAMA, use_basal_projection=False, decoder=None)
    weights = slow.random_weights(options, 0)
    path = written(tmp_path / "m", options, weights)
    edit_checkpoint(path, lambda saved: saved["hyper_parameters"].pop("use_basal_projection") and None)
    assert "one Linear encodes the cells" in warnings(agrees(path, options, weights))


def early(options):
    """Options without the flags of later versions: State up to 0.9.7."""
    kept = {name: value for name, value in options.items() if name not in ("lora", "use_batch_token")}
    kept.pop("basal_mapping_strategy")
    kwargs = dict(kept["transformer_backbone_kwargs"])
    kwargs.pop("bidirectional_attention")
    return kept | {"transformer_backbone_kwargs": kwargs}


@pytest.mark.parametrize("residual", [True, False])
def test_state_before_0_9_4_adds_residuals_in_hidden_space_whatever_the_output_space(tmp_path, residual):
    options = options_of(**LLAMA | {"output_space": "all"}, predict_residual=residual, use_batch_token=False)
    weights = {name: w for name, w in slow.random_weights(options, 0).items() if "final_down_then_up" not in name}
    path = written(tmp_path / "m", early(options), weights)
    # The same function as for the output space "gene", which never had the two Linears.
    model = agrees(path, options | {"output_space": "gene"}, weights, attention="bidirectional")
    assert ("residuals are added in hidden space, as in State up to 0.9.3" in warnings(model)) == residual


def test_the_two_last_linears_may_not_be_lost_in_later_versions(tmp_path):
    options = options_of(**LLAMA | {"output_space": "all"})
    weights = {name: w for name, w in slow.random_weights(options, 0).items() if "final_down_then_up" not in name}
    with pytest.raises(PertprobeError, match=r"'final_down_then_up\.0\.weight' is missing"):
        load_state(written(tmp_path / "later", options, weights))
    one = {"final_down_then_up.0.weight": torch.zeros(1, slow.GENES)}
    with pytest.raises(PertprobeError, match=r"'final_down_then_up\.2\.weight' is missing"):
        load_state(written(tmp_path / "early", early(options), weights | one), attention="bidirectional")


@pytest.mark.parametrize("residual", [True, False])
def test_state_0_9_4_adds_raw_cells_whatever_the_output_space(tmp_path, residual):
    """Its function is that of the output space "all" of later versions; only the rectifier follows the inputs."""
    options = options_of(**LLAMA, predict_residual=residual, use_batch_token=False, decoder=None)
    everything = options | {"output_space": "all"}
    weights = slow.random_weights(everything, 0)
    path = written(tmp_path / "m", early(options), weights)
    model = agrees(path, everything, weights, attention="bidirectional")
    assert ("raw cells are added to the outputs, as in State 0.9.4" in warnings(model)) == residual
    ends = model.linear_ends()
    assert len(ends.input_weight) == slow.HIDDEN + residual * (slow.GENES // 8)


def test_unknown_options_are_ignored_by_name_and_noted(tmp_path, options):
    path = written(tmp_path / "m", options)

    def change(saved):
        saved["hyper_parameters"] |= {"decoder_dropout": 0.1, "scheduler_type": None, "main_loss_weight": 1.0}
        saved["hyper_parameters"]["transformer_backbone_kwargs"]["cache_size"] = 3

    edit_checkpoint(path, change)
    with pytest.raises(PertprobeError) as caught:
        load_state(path)
    assert caught.value.messages == (
        "hyper-parameter 'main_loss_weight' = 1.0 is unknown, could change outputs. If only training reads it, name it "
        "under `ignore_options`",
        "hyper-parameter 'scheduler_type' = None is unknown, could change outputs. If only training reads it, name it "
        "under `ignore_options`",
        "hyper-parameter 'transformer_backbone_kwargs.cache_size' = 3 is unknown, could change outputs. If only "
        "training reads it, name it under `ignore_options`",
    )
    ignore_options = ["scheduler_type", "main_loss_weight", "transformer_backbone_kwargs.cache_size", "decoder_dropout"]
    said = warnings(load_model(path, ignore_options=ignore_options))
    for name in ignore_options:
        assert f"hyper-parameter '{name}' is ignored, as the config says" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "predict_residual",
            "ignore_options: 'predict_residual' decides what the model computes, and cannot be ignored",
        ),
        ("nb_decoder", "ignore_options: 'nb_decoder' decides what the model computes"),
        ("transformer_backbone_kwargs.attention_bias", "attention_bias' decides what the model computes"),
        ("transformer_backbone_kwargs.head_dim", "head_dim' decides what the model computes"),
        ("scheduler", "ignore_options: 'scheduler' is none of the checkpoint's hyper-parameters"),
    ],
)
def test_what_changes_outputs_is_never_ignored(tmp_path, options, name, message):
    path = written(tmp_path / "m", options)

    def change(saved):
        saved["hyper_parameters"]["nb_decoder"] = True
        saved["hyper_parameters"]["transformer_backbone_kwargs"]["attention_bias"] = True

    edit_checkpoint(path, change)
    with pytest.raises(PertprobeError, match=message):
        load_state(path, ignore_options=[name])


@pytest.mark.parametrize("backbone", ["qwen3", "GPT2Causal"])
def test_backbones_of_experiments_are_refused_by_name(tmp_path, options, backbone):
    path = written(tmp_path / "m", options | {"transformer_backbone_key": backbone}, slow.random_weights(options, 0))
    with pytest.raises(PertprobeError, match=f"transformer_backbone_key '{backbone}' is neither llama nor GPT2"):
        load_state(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transformer_backbone_kwargs": 3}, "'transformer_backbone_kwargs' = 3 holds no options by name"),
        ({"lora": "yes"}, "'lora' = 'yes' holds no options by name"),
        ({"transformer_backbone_key": ["llama"]}, r"transformer_backbone_key '\['llama'\]' is neither llama nor GPT2"),
    ],
)
def test_sections_that_are_none_are_refused_in_words(tmp_path, options, change, message):
    path = written(tmp_path / "m", options | change, slow.random_weights(options, 0))
    with pytest.raises(PertprobeError, match=message):
        load_state(path)


def test_options_that_transformers_ignores_are_read_over(tmp_path, options):
    path = written(tmp_path / "m", options)
    more = {"d_inner": 1024, "attn_implementation": "sdpa"}
    edit_checkpoint(path, lambda saved: saved["hyper_parameters"]["transformer_backbone_kwargs"].update(more))
    load_state(path)


def without_control(path, config=None):
    edit_checkpoint(path, lambda saved: saved["hyper_parameters"].pop("control_pert") and None)
    if config is not None:
        edit_config(path, lambda held: held["data"]["kwargs"].update(control_pert=config))


@pytest.mark.parametrize("name", ["[('DMSO_TF', 0.0, 'uM')]", "[('DMSO_TF', 0, 'uM')]"])
def test_a_control_that_only_the_map_has_is_found_at_dose_0(tmp_path, options, name):
    path = written(tmp_path / "m", options)
    rename_perturbations(path, {"ctrl": name, "p1": "[('Drug', 0.5, 'uM')]", "p2": "[('DMSO_TF', 5.0, 'uM')]"})
    without_control(path, "DMSO_TF")
    model = load_state(path)
    assert model.control == name
    assert f"the control 'DMSO_TF' was found as \"{name}\", at dose 0" in warnings(model)


def test_a_folder_above_names_the_model_directories_in_it(tmp_path, options):
    written(tmp_path / "fewshot" / "lineA", options)
    with pytest.raises(PertprobeError, match=r"absent\. There are some in it: fewshot/lineA\. Give one of these"):
        load_state(tmp_path)


def test_a_control_that_nothing_says_is_asked_for(tmp_path, options):
    path = written(tmp_path / "m", options)
    rename_perturbations(path, {"ctrl": "PBS"})
    without_control(path)
    with pytest.raises(
        PertprobeError, match=r"control 'non-targeting' is not among its 5 names \(near: PBS\)\. Set `con"
    ):
        load_state(path)
    assert load_model(path, control="PBS").control == "PBS"
    with pytest.raises(
        PertprobeError, match=r"the control 'DMSO' is not among its 5 names .*Set `control` of the model"
    ):
        load_state(path, control="DMSO")


def test_another_control_than_the_directorys_is_said(tmp_path, options):
    path = written(tmp_path / "m", options)
    assert "the control is 'p1', as the config says; the directory says 'ctrl'" in (
        warnings(load_state(path, control="p1"))
    )


def more_names(path, names):
    def change(saved):
        saved["hyper_parameters"]["gene_names"] = names

    edit_checkpoint(path, change)
    (path / "var_dims.pkl").write_bytes(pickle.dumps({"gene_names": names}))


def test_names_that_cannot_be_those_of_the_inputs_are_given_in_a_file(tmp_path, options):
    path = written(tmp_path / "m", options)
    more_names(path, [f"ENSG{i}" for i in range(27)])
    model = load_state(path)
    assert model.genes[:2] == ("X_hvg_0", "X_hvg_1")
    assert "27 gene names cannot name 9 inputs: they are called X_hvg_0, ... Set `genes`" in warnings(model)
    file = tmp_path / "genes.txt"
    file.write_text("".join(f"G{i}\n" for i in range(9)))
    named = load_model(path, genes=file)
    assert named.genes == named.output_genes == tuple(f"G{i}" for i in range(9))
    assert "cannot name" not in warnings(named)
    more_names(path, [])
    assert "no genes are named: they are called X_hvg_0" in warnings(load_state(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\n", "genes: 2 names, the checkpoint reads 9 inputs"),
        ("a\n\nb\n", "one name a line is expected, found line 2: ''"),
        ("a\tb\n", "one name a line is expected, found line 1: 'a\tb'"),
        ("".join(f"g{i // 2}\n" for i in range(9)), "inputs are named twice: g0, g1, g2, g3"),
        (None, r"genes: .* cannot be read \(No such file or directory\)"),
    ],
)
def test_files_of_names_that_do_not_fit_are_refused(tmp_path, options, text, message):
    path = written(tmp_path / "m", options)
    if text is not None:
        (tmp_path / "genes.txt").write_text(text)
    with pytest.raises(PertprobeError, match=message):
        load_state(path, genes=tmp_path / "genes.txt")


def test_a_gene_that_the_directory_names_twice_is_named(tmp_path, options):
    path = written(tmp_path / "m", options)
    more_names(path, ["g0", "g1", "g2", "g3", "g1", "g5", "g6", "g7", "g8"])
    with pytest.raises(PertprobeError) as caught:
        load_state(path)
    assert caught.value.messages == (
        "inputs are named twice: g1. Name each once, in a file that `genes` of the model's entry gives",
    )


def test_maps_whose_rows_are_no_vectors_are_refused_by_name(tmp_path, options):
    path = written(tmp_path / "m", options)
    held = torch.load(path / "pert_onehot_map.pt", weights_only=False)
    torch.save({str(name): row[None] for name, row in held.items()}, path / "pert_onehot_map.pt")
    with pytest.raises(PertprobeError, match=r"pert_onehot_map.pt: 'ctrl' is \(1, 5\) of the type float32"):
        load_state(path)


def test_a_model_without_a_batch_encoder_knows_no_batches(tmp_path):
    options = options_of(**LLAMA, batch_encoder=False, decoder=None)
    model = load_state(written(tmp_path / "m", options))
    assert model.batches == ()
    assert model.batch_indices(np.array(["anything"])) is None


def test_whole_numbers_are_one_label_however_they_are_written(tmp_path, options):
    assert matched_labels(["2.0", "2", "b1", "3", "02", "1e0", "x"], ["2", "1", "3.0", "b1"]) == {
        "2.0": "2", "2": "2", "b1": "b1", "3": "3.0",
    }  # fmt: skip
    assert matched_labels(["2.0", "2.00"], ["2", "2.0"]) == {"2.0": "2.0"}
    path = written(tmp_path / "m", options)
    torch.save({str(i): torch.eye(slow.BATCHES)[i] for i in range(slow.BATCHES)}, path / "batch_onehot_map.torch")
    model = load_state(path)
    assert model.batch_indices(np.array(["2.0", "0", "1.0"])).tolist() == [2, 0, 1]
    with pytest.raises(PertprobeError, match=r"unknown batch labels 2\.5, 7\.0 \(known: 0, 1, 2\)"):
        model.batch_indices(np.array(["2.5", "7.0", "1.0"]))


def test_facts_of_state_directories_are_not_for_other_kinds(tmp_path):
    with pytest.raises(PertprobeError, match="genes and ignore_options belong to the kind state, not to 'lookup'"):
        load_model(tmp_path, kind="lookup", genes="x", ignore_options=["y"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "state"}, "config.yaml: model holds a str, options by name are expected"),
        ({"data": [1]}, "config.yaml: data holds a list, options by name are expected"),
        ({"model": {"name": "state", "kwargs": 3}}, "config.yaml: model: kwargs holds a int"),
    ],
)
def test_a_section_of_the_config_that_is_none_is_refused_in_words(tmp_path, options, change, words):
    path = written(tmp_path / "m", options)
    config = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump(config | change))
    with pytest.raises(PertprobeError, match=words):
        load_state(path)


def test_an_empty_file_and_hyper_parameters_of_a_list_are_refused_in_words(tmp_path, options):
    path = written(tmp_path / "m", options)
    edit_checkpoint(path, lambda saved: saved | {"hyper_parameters": [1]})
    with pytest.raises(PertprobeError, match=r"final\.ckpt: hyper_parameters holds a list"):
        load_state(path)
    (path / "config.yaml").write_text("")
    with pytest.raises(PertprobeError, match=r"config\.yaml: is empty"):
        load_state(path)


def test_a_fraction_is_no_number_of_layers(tmp_path, options):
    path = written(tmp_path / "m", options)
    edit_checkpoint(path, lambda saved: saved["hyper_parameters"].update(n_encoder_layers=1.5))
    with pytest.raises(PertprobeError, match=r"'n_encoder_layers' = 1\.5 is no whole number"):
        load_state(path)
