"""Job one: every fault of every file together, each behind its key of the config."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from pertprobe.errors import Faults
from pertprobe.workflow.checks import check_inputs
from pertprobe.workflow.references import check_references


@pytest.fixture
def config(shared_path):
    """The Papalexi run in little: one context, one model, one program."""
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
        "programs": {"lists": {"ifn": ["STAT1", "JAK2", "IFNGR1"]}, "patterns": {"irf": "^IRF"}},
        "panels": {"ifn": {"program": "ifn", "regulators": ["STAT1"], "targets": ["UBE2L6"]}},
        "sae": {"joint": {"models": ["fewshot"]}},
        "probes": {"sae_features": {"sae": "joint"}, "targeted_jacobian": {"panels": ["ifn"]}},
    }


def faults(config):
    with pytest.raises(Faults) as error:
        check_inputs(config)
    return error.value.messages


def test_a_good_config_gives_a_summary_for_json(config):
    found = json.loads(json.dumps(check_inputs(config)))
    assert found["cells"]["rep_1"]["n_controls"] == 100
    assert len(found["cells"]["rep_1"]["sha256"]) == 64
    assert found["models"]["fewshot"]["n_genes"] == 299
    assert "config.yaml" in found["models"]["fewshot"]["sha256"]
    assert found["programs"]["sizes"] == {"ifn": 3, "irf": 2}


def test_faults_of_all_files_come_together_behind_their_keys(config, tmp_path):
    config["cells"]["rep_1"] |= {"control": "ntc", "space": "counts"}
    config["cells"]["rep_9"] = {**config["cells"]["rep_1"], "path": str(tmp_path / "no.h5ad")}
    config["models"]["absent"] = {
        "path": str(tmp_path / "no_model"),
        "context": "rep_1",
        "split": str(tmp_path / "no.toml"),
    }
    config["programs"]["gmt"] = [str(tmp_path / "no.gmt")]
    config["sae"]["joint"]["models"] = ["fewshoot"]
    found = faults(config)
    for start in (
        "sae.joint.models: 'fewshoot' is not under models (found: fewshot, absent). Did you mean 'fewshot'?",
        "cells.rep_1: control label 'ntc' is not in obs['perturbation']",
        "cells.rep_9: ",
        "models.absent: ",
        "models.absent.split: ",
        "programs: ",
    ):
        assert any(text.startswith(start) for text in found), start


def test_a_file_of_cells_that_lies_in_parts_elsewhere_is_told_behind_its_key(config, tmp_path):
    whole, copied = config["cells"]["rep_1"]["path"], tmp_path / "cells.h5ad"
    copied.write_bytes(Path(whole).read_bytes())
    with h5py.File(copied, "r+") as file:
        file["uns/more"] = h5py.ExternalLink("elsewhere.h5", "x")
    config["cells"]["rep_1"]["path"] = str(copied)
    (fault,) = faults(config)
    assert fault.startswith(f"cells.rep_1: {copied} is refused, since it keeps /uns/more in another file")


def test_genes_the_cells_do_not_have_name_the_model(config, shared_path):
    config["cells"]["rep_1"] |= {
        "path": str(shared_path("state/lineA.h5ad")),
        "context_column": "cell_type",
        "context": "lineA",
        "perturbation_column": "gene",
        "batch_column": "gem_group",
    }
    found = faults(config)
    assert any(
        text.startswith("models.fewshot: 299 of 299 genes of the model are missing from space 'X'") for text in found
    )
    assert any(
        text.startswith(
            "models.fewshot: batch labels of cells.rep_1 are unknown to the model: lineA_b0, lineA_b1, lineA_b2 "
            "(it knows rep_1, rep_2, rep_3)"
        )
        for text in found
    )


def test_sets_of_another_size_than_in_training_are_refused(config):
    config["cells"]["rep_1"]["set_size"] = 16
    assert faults(config) == (
        "models.fewshot: was trained on sets of 32 cells, cells.rep_1.set_size is 16. Set it to 32, "
        "or give the model a cells entry of its own",
    )


def test_cells_without_a_batch_column_get_a_note(config):
    config["cells"]["rep_1"]["batch_column"] = None
    notes = check_inputs(config)["models"]["fewshot"]["notes"]
    assert "cells.rep_1 has no batch_column: all cells get the label 'rep_1'" in notes


def test_faults_of_panels_are_found_once_programs_are_known(config):
    config["panels"]["ifn"] |= {"program": "ifng", "perturbations": ["STAT1"]}
    assert faults(config) == ("panels.ifn: program 'ifng' is not defined (found: ifn, irf). Did you mean 'ifn'?",)


def test_what_the_run_makes_itself_is_not_looked_for():
    entry = {"path": "results/demo/simulated/cells.h5ad", "context_column": "c", "context": "a"}
    config = {
        "run": "demo",
        "simulate": {},
        "cells": {"line_a": entry},
        "models": {"a_fewshot": {"context": "line_a", "train": {}}},
        "programs": {"gmt": ["<results>/simulated/programs.gmt"]},
        "panels": {"p": {"program": "program_1", "regulators": ["g1"], "targets": ["g2"]}},
    }
    assert check_inputs(config) == {
        "cells": {},
        "models": {},
        "programs": {"files": {}, "sizes": {}, "notes": []},
        "regulons": {},
        "census": [],
        "splits": {},
    }


def test_references_of_a_good_config_are_silent(config):
    assert check_references(config) == []


def test_references_that_nothing_has_are_named_together(config):
    config = copy.deepcopy(config)
    config["models"]["fewshot"] |= {"context": "rep1"}
    config["pairs"] = {"contexts": [["fewshot", "zeroshot"]]}
    config["probes"] = {"sae_features": {"sae": "separate"}, "targeted_jacobian": {"panels": ["none"]}}
    assert check_references(config) == [
        "models.fewshot.context: 'rep1' is not under cells (found: rep_1). Did you mean 'rep_1'?",
        "pairs.contexts: 'zeroshot' is not under models (found: fewshot).",
        "probes.sae_features.sae: 'separate' is not under sae (found: joint).",
        "probes.targeted_jacobian.panels: 'none' is not under panels (found: ifn).",
    ]


def test_references_are_checked_without_heavy_imports():
    heavy = "{'torch', 'anndata', 'h5py', 'pandas'}"
    code = f"import sys, pertprobe.workflow.checks; print(sorted({heavy} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_settings_of_probes_are_checked_against_the_models(config):
    config["sae"] = {"joint": {"models": ["fewshot"], "layer": 99}}
    config["probes"] = {"knockout": {"perturbation": "STAT9", "genes": ["NOGENE", "NEITHER", "NOR"]}}
    with pytest.raises(Faults) as raised:
        check_inputs(config)
    said = "\n".join(raised.value.messages)
    assert "sae.joint.layer: 99, but fewshot has the layers 0 to" in said
    assert "probes.knockout.perturbation: 'STAT9' is no perturbation of fewshot" in said
    assert "probes.knockout.genes: not among the genes of fewshot: NOGENE" in said


def test_models_that_cannot_be_trained_are_named_before_any_file_is_read():
    models = {
        "steps": {"kind": "lookup", "context": "a", "train": {"steps": 5}},
        "own": {"kind": "linear", "context": "a", "train": {}},
        "net": {"kind": "network", "context": "a", "train": {}},
        "good": {"kind": "covariation_pca", "context": "a", "train": {"heldout": 0.1}},
        "given": {"kind": "network", "context": "a", "path": "somewhere"},
    }
    found = list(check_references({"cells": {"a": {}}, "models": models}))
    assert [text.partition(":")[0] for text in found] == ["models.steps.train.steps", "models.own.kind", "models.net"]
    assert check_references({"cells": {"a": {}}, "models": models, "controls": {"network": "n.tsv"}}) == found[:2]


def test_a_network_that_is_no_table_of_edges_is_refused_behind_its_key(config, tmp_path):
    (tmp_path / "network.tsv").write_text("a\tb\n1\t2\n")
    config["controls"] = {"network": str(tmp_path / "network.tsv")}
    (text,) = faults(config)
    assert text.startswith("controls.network: ")
    assert "no column for" in text
