"""Faults in what probes and autoencoders are given, found before any job and named by their keys."""

import pytest
import torch
from safetensors.torch import save_file

from pertprobe.errors import Faults
from pertprobe.interpret.sae import SparseAutoencoder, write_saelens
from pertprobe.interpret.sae.pool import width_of
from pertprobe.models import load_model
from pertprobe.workflow.checks import check_inputs
from pertprobe.workflow.given_files import given_paths
from pertprobe.workflow.references import check_references


@pytest.fixture
def config(shared_path):
    source = {
        "path": str(shared_path("data/papalexi_thp1_mini_mit.h5ad")),
        "context_column": "cell_context",
        "context": "rep_1",
        "perturbation_column": "perturbation",
        "batch_column": "batch",
        "control": "non-targeting",
        "space": "X",
        "genes": "var",
        "set_size": 32,
        "n_sets": 3,
    }
    return {
        "run": "papalexi",
        "cells": {"rep_1": source},
        "models": {"fewshot": {"path": str(shared_path("state/papalexi_fewshot_rep_1")), "context": "rep_1"}},
        "programs": {"lists": {"ifn": ["STAT1", "JAK2", "IFNGR1"]}},
        "sae": {"joint": {"models": ["fewshot"]}},
        "probes": {"activation_patching": {}},
    }


def faults(config):
    with pytest.raises(Faults) as error:
        check_inputs(config)
    return error.value.messages


@pytest.mark.parametrize("probe", ["knockout", "intervention_fidelity"])
def test_an_observed_level_needs_knock_downs_of_genes(config, probe):
    config["probes"] = {probe: {"value": "observed"}}
    assert check_inputs(config)
    config["cells"]["rep_1"]["perturbation_column"] = "batch"
    config["cells"]["rep_1"]["control"] = "rep_1"
    said = [each for each in faults(config) if each.startswith(f"probes.{probe}")]
    assert said == [
        f"probes.{probe}.value: observed, but no gene of fewshot is knocked down in cells.rep_1. Set it to zero"
    ]


def autoencoder(tmp_path, width):
    shapes = {"W_enc": (width, 9), "b_enc": (9,), "W_dec": (9, width), "b_dec": (width,)}
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, tmp_path / "sae.safetensors")
    return str(tmp_path / "sae.safetensors")


def test_a_layer_that_no_model_has_is_named(config):
    config["probes"]["activation_patching"] = {"layer": 99}
    (said,) = faults(config)
    assert said.startswith("probes.activation_patching.layer: 99, but fewshot has the layers 0 to ")


def test_a_probe_cannot_read_another_layer_than_its_autoencoder(config):
    config["sae"]["joint"]["layer"] = 1
    config["probes"]["activation_patching"] = {"sae": "joint", "layer": 2}
    assert check_references(config) == [
        "probes.activation_patching.layer: 2, but sae.joint reads layer 1. Leave the layer out, or the autoencoder"
    ]
    config["probes"]["activation_patching"]["layer"] = 1
    assert check_references(config) == []


def test_an_autoencoder_that_nobody_defined_is_named(config):
    config["probes"]["activation_patching"] = {"sae": "joined"}
    (said,) = check_references(config)
    assert said.startswith("probes.activation_patching.sae: 'joined' is not under sae (found: joint).")


def test_features_of_programs_that_nobody_defined_are_named(config):
    config["probes"]["activation_patching"] = {"sae": "joint", "features": {"ifng": [1069]}}
    assert faults(config) == (
        "probes.activation_patching.features: program 'ifng' is not defined (found: ifn). Did you mean 'ifn'?",
    )


def test_an_autoencoder_of_the_wrong_width_is_named_with_both_widths(config, tmp_path):
    config["sae"]["joint"] |= {"path": autoencoder(tmp_path, 7), "kind": "relu_l1"}
    (said,) = faults(config)
    assert "sae.joint: its input is 7 wide, the hidden states of fewshot " in said
    width = int(said.split("fewshot ")[1].split(".")[0])
    config["sae"]["joint"]["path"] = autoencoder(tmp_path, width)
    check_inputs(config)


def test_an_autoencoder_that_cannot_be_read_is_named(config, tmp_path):
    config["sae"]["joint"]["path"] = str(tmp_path)
    (said,) = faults(config)
    assert said.startswith("sae.joint.path: sae: ")
    assert "holds no autoencoder (cfg.json and sae_weights.safetensors; " in said


def test_regulons_are_read_by_the_gate(config, tmp_path):
    good, bad = tmp_path / "good.tsv", tmp_path / "bad.tsv"
    good.write_text("source\ttarget\tsign\nSTAT1\tIRF1\t1\n")
    bad.write_text("x\ty\n1\t2\n")
    config["probes"] = {"regulon_recovery": {"regulons": {"one": str(good), "two": str(bad)}}}
    (said,) = faults(config)
    assert said.startswith("probes.regulon_recovery.regulons.two: ")
    assert "no column for source, target (found: x, y)" in said
    del config["probes"]["regulon_recovery"]["regulons"]["two"]
    found = check_inputs(config)["regulons"]["one"]
    assert (found["n_edges"], found["n_regulators"], len(found["sha256"])) == (1, 1, 64)


def test_genes_and_perturbations_of_regulon_recovery_are_checked(config, tmp_path):
    (tmp_path / "a.tsv").write_text("source\ttarget\tsign\nSTAT1\tIRF1\t1\n")
    config["probes"] = {"regulon_recovery": {"regulons": {"a": str(tmp_path / "a.tsv")}, "perturbation": "STAT9",
                                             "genes": ["NOGENE", "NEITHER", "NOR"]}}  # fmt: skip
    said = "\n".join(faults(config))
    assert "probes.regulon_recovery.perturbation: 'STAT9' is no perturbation of fewshot" in said
    assert "probes.regulon_recovery.genes: not among the genes of fewshot: NOGENE" in said


def test_files_of_autoencoders_and_regulons_are_given_paths(config):
    config["sae"]["joint"]["path"] = "weights.safetensors"
    config["probes"] = {"regulon_recovery": {"regulons": {"a": "a.tsv"}}}
    assert given_paths(config)[-2:] == ["weights.safetensors", "a.tsv"]
    config |= {"simulate": {}}
    config["probes"]["regulon_recovery"]["regulons"]["a"] = "<results>/simulated/regulons.tsv"
    assert "<results>/simulated/regulons.tsv" not in given_paths(config)


def test_names_that_the_atlas_lists_and_nothing_has_are_named(config):
    config["atlas"] = {"models": ["fewshoot"], "perturbations": ["control", "STAT1"]}
    assert check_references(config) == [
        "atlas.models: 'fewshoot' is not under models (found: fewshot). Did you mean 'fewshot'?"
    ]
    config["atlas"] = {"models": ["fewshot"], "perturbations": ["control", "STAT1", "stat2", "x"]}
    assert faults(config) == (
        "atlas.perturbations: 'stat2' is no perturbation of fewshot. Did you mean 'STAT2'?",
        "atlas.perturbations: 'x' is no perturbation of fewshot.",
    )
    config["atlas"] = {"models": "all", "perturbations": "all"}
    check_inputs(config)


def saelens_folder(path, width, **told):
    sae = SparseAutoencoder(torch.ones(width, 9), torch.zeros(9), torch.ones(9, width), torch.zeros(width), None)
    write_saelens(sae, path, told)
    return str(path)


def test_an_autoencoder_of_another_layer_is_refused_and_one_of_other_models_noted(config, tmp_path):
    model = load_model(config["models"]["fewshot"]["path"])
    width, middle = width_of(model), model.n_layers // 2
    config["sae"]["joint"]["path"] = path = saelens_folder(tmp_path / "a", width, models=["other"], layer=middle)
    assert (
        "sae.joint was trained on other, and reads this model all the same"
        in (check_inputs(config)["models"]["fewshot"]["notes"])
    )
    config["sae"]["joint"]["layer"] = middle + 1
    assert faults(config) == (
        f"sae.joint.layer: {middle + 1}, but {path} says that it was trained on layer {middle}. Set it to that",
    )
    del config["sae"]["joint"]["layer"]
    config["sae"]["joint"]["path"] = saelens_folder(tmp_path / "b", width, hook_name="blocks.4", model_name="gpt2")
    assert (
        "sae.joint was trained on blocks.4 of gpt2, and reads layer middle of this model"
        in (check_inputs(config)["models"]["fewshot"]["notes"])
    )


def test_one_autoencoder_of_models_of_different_widths_is_refused(config, shared_path):
    config["models"]["other"] = {"path": str(shared_path("state/st_fewshot_A")), "context": "rep_1"}
    config["sae"]["joint"]["models"].append("other")
    said = [each for each in faults(config) if each.startswith("sae.joint.models")]
    assert len(said) == 1
    assert "their hidden states are of different widths (fewshot " in said[0]


def test_kinds_that_are_read_only_are_not_trained(config):
    config["sae"]["joint"]["kind"] = "gated"
    assert check_references(config) == [
        "sae.joint.kind: 'gated' can be read, but is not trained here. Set it to topk or relu_l1, or give the path of "
        "one trained elsewhere"
    ]
