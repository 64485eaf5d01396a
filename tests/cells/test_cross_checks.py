"""Files that name the same thing: what directory, split, cells, gene sets and config say is compared, and said."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from small_screen import GENES, SOURCE, counted, labels, logged, screen

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import ContextCells
from pertprobe.data.findings import Finding
from pertprobe.data.programs import Panel, Programs
from pertprobe.models.names_in_cells import name_findings, one_member_each, same_inputs, without_twins
from pertprobe.models.split_checks import beside_own_split, split_findings
from pertprobe.models.training_split import Split, split_toml
from pertprobe.models.under_control import under_control
from pertprobe.workflow import census
from pertprobe.workflow.census import (
    context_findings,
    panel_findings,
    program_findings,
    regulon_findings,
    too_few_targets,
    waived,
)

PERTURBATIONS = ("ctrl", *GENES[:4])


def model(**changes):
    """Return what the checks ask of a model."""
    held = {
        "genes": tuple(GENES), "output_genes": tuple(GENES), "perturbations": PERTURBATIONS, "control": "ctrl",
        "batches": (), "set_size": 20, "capabilities": frozenset({"predict", "gene_space"}),
        "card": {"cell_types": ["a", "b"]}, "perturbation_features": torch.eye(5),
    }  # fmt: skip
    return SimpleNamespace(**{**held, **changes})


def cells(perturbations=PERTURBATIONS[1:], n=40):
    return ContextCells(240, 80, tuple(perturbations), (n,) * len(perturbations), (), tuple(GENES), ())


def named(found):
    return {each.what: each for each in found}


def names(subject, held=None, **entry):
    entry = {"control": "ctrl", "perturbation_column": "gene", **entry}
    return named(name_findings("models.m", subject, "x", held or cells(), entry))


def test_names_that_fit_are_good():
    assert {each.level for each in names(model()).values()} == {"good"}


def test_a_control_that_the_model_knows_as_a_perturbation_is_refused():
    said = names(model(), control="G01")["control_label"]
    assert said.level == "fault"
    assert "cells.x.control is 'G01', which the model knows as a perturbation: its control is 'ctrl'" in said.words


def test_cells_of_the_models_own_control_that_are_not_the_control_are_refused():
    said = names(model(), cells(("ctrl", "G01")), control="other")["control_label"]
    assert said.level == "fault"
    assert "cells.x has cells labelled 'ctrl', the model's control, but its control is 'other'" in said.words
    assert names(model(), control="other")["control_label"].level == "note"


def test_a_column_none_of_whose_labels_the_model_knows_is_refused():
    said = names(model(), cells(("b1", "b2")), perturbation_column="batch")["known_labels"]
    assert said.level == "fault"
    assert said.words.startswith("none of the 2 labels in obs['batch'] of cells.x is a perturbation of the model")
    assert names(model(), cells(()))["known_labels"].level == "good"  # control cells alone


def test_labels_that_do_not_match_are_counted_both_ways_with_near_matches():
    found = names(model(), cells(("G00", "g01")))
    assert found["known_labels"].words == (
        "1 of 2 labels in obs['gene'] of cells.x, 40 cells, are unknown to the model and not asked: g01. "
        "Did you mean 'G01'?"
    )
    assert (
        found["measured_perturbations"].words == "3 of 4 perturbations of the model have no cells in x: G01, G02, G03"
    )


def test_names_that_share_a_feature_vector_are_one_input():
    shared = model(perturbation_features=torch.tensor([[1.0, 0], [0, 1], [0, 1], [1, 1], [1, 1]]))
    assert same_inputs(shared) == [("G00", "G01"), ("G02", "G03")]
    said = names(shared)["distinct_inputs"]
    assert (said.level, said.n) == ("note", 4)
    assert said.words.endswith("count as one member of a program: G00 and G01; G02 and G03")
    found = one_member_each({"p": ["G01", "G00", "G02"], "q": ["G03"]}, same_inputs(shared))
    assert found == Programs({"p": ["G01", "G02"], "q": ["G03"]})
    panel = Panel("p", "p", (), (), ("G00",), ("G01", "G02"))
    assert without_twins(panel, same_inputs(shared)).controls == ("G02",)


def split(given, *, context="a", regime="fewshot", directory=("a", "b"), contexts=("a",)):
    return named(split_findings("models.m", model(card={"cell_types": directory}), given, context, regime, contexts))


def test_a_context_spelled_otherwise_is_refused_and_an_unknown_one_noted():
    said = split(Split(), context="Line_A", directory=("lineA", "lineB"))["context_name"]
    assert said.level == "fault"
    assert said.words.startswith("its cells are of 'Line_A', its directory (cell_type_onehot_map) calls that 'lineA'.")
    said = split(Split(), context="k562", directory=("lineA", "lineB"))["context_name"]
    assert said.level == "note"
    assert "does not know 'k562': nothing counts as trained here" in said.words


def test_the_split_of_another_data_set_is_refused():
    other = Split(zeroshot=frozenset(["hek"]), heldout={"k562": frozenset(["AARS", "ABCE1", "G01"])})
    found = split(other)
    assert found["split_contexts"].level == "fault"
    assert "its split names contexts that neither its directory nor its cells have: hek, k562 (known: a, b)" in (
        found["split_contexts"].words
    )
    assert found["split_names"].words.startswith(
        "2 of 3 perturbations that its split names are none of the model's: AARS, ABCE1"
    )
    assert found["split_names"].level == "fault"
    mostly = split(Split(heldout={"a": frozenset(["ctr1", "G01", "G02"])}))["split_names"]
    assert mostly.level == "note"
    assert "(near: 'ctrl' for 'ctr1')" in mostly.words


@pytest.mark.parametrize(
    ("given", "regime", "level", "words"),
    [
        (Split(zeroshot=frozenset("a")), "fewshot", "fault", "saw no perturbed cells of 'a': set regime to 'zeroshot'"),
        (
            Split(heldout={"a": frozenset(["G01"])}),
            "zeroshot",
            "fault",
            "trained on perturbed cells of 'a': set regime to",
        ),
        (Split(rows={("G01", "a"): False}), "fewshot", "fault", "set regime to 'zeroshot'"),
        (Split(zeroshot=frozenset("a")), "unknown", "note", "set regime to 'zeroshot'"),
        (Split(), "fewshot", "good", ""),
        (Split(rows={("G01", "b"): True}), "fewshot", "uncheckable", ""),
    ],
)
def test_the_regime_of_the_config_is_held_against_the_split(given, regime, level, words):
    said = split(given, regime=regime)["regime"]
    assert said.level == level
    assert words in said.words


@pytest.mark.parametrize(
    ("given", "regime", "level"),
    [
        (Split(), "fewshot", "note"),
        (Split(heldout={"b": frozenset(["G01"])}), "fewshot", "note"),
        (Split(heldout={"a": frozenset(["G01"])}), "fewshot", "good"),
        (Split(zeroshot=frozenset("a")), "zeroshot", "good"),
        (Split(rows={("G01", "a"): True}), "fewshot", "good"),
    ],
)
def test_a_few_shot_model_of_whose_context_nothing_is_held_out_is_noted(given, regime, level):
    said = split(given, regime=regime)["split_holds_out"]
    assert said.level == level
    assert said.words == (
        "its split holds out no perturbation of 'a': all count as trained there. Is that context meant?"
        if level == "note"
        else ""
    )


def test_a_split_that_is_not_the_directorys_own_is_noted_where_it_holds_out_others(tmp_path):
    path = tmp_path / "split.toml"
    path.write_text(split_toml(tmp_path / "d.h5ad", "a", "fewshot", ["G01"]))
    other = Split(heldout={"a": frozenset(["G01", "G02"])})
    said = beside_own_split("models.m", path, other, "a")
    assert (said.key, said.what, said.level) == ("models.m", "split_of_directory", "note")
    assert "holds out others of 'a' than the one that is given: G02 of one alone" in said.words
    assert beside_own_split("models.m", path, Split(heldout={"a": frozenset(["G01"])}), "a").level == "good"
    assert beside_own_split("models.m", None, other, "a").level == "good"
    path.write_text("[training")
    said = beside_own_split("models.m", path, other, "a")
    assert said.level == "note"
    assert said.words.startswith("the split in its directory cannot be read, and the one that is given counts (")


def test_without_a_split_that_is_said():
    assert split(None)["split"].words == "no split file says what the model was trained with"


class Profile(SimpleNamespace):
    """Answers any cell with a mixture of itself and the mean cell that it was trained on."""

    def predict_genes(self, values, perturbation, batches=None):
        trained = torch.as_tensor(logged(counted())[:80].mean(axis=0))
        return (torch.as_tensor(values) * 0.1 + 0.9 * trained).float()


def sets(change):
    values = change(logged(counted())[:80].reshape(4, 20, -1))
    return CellSets(values, tuple(GENES), None, np.arange(80).astype(str).reshape(4, 20), "a")


CHANGES = {
    "log2(1 + x)": lambda x: x / np.log(2), "half the scale": lambda x: x / 2, "not logged": np.expm1,
    "logged twice": np.log1p, "3 times the scale": lambda x: x * 3,
}  # fmt: skip


@pytest.mark.parametrize("scale", CHANGES)
def test_a_model_under_its_control_tells_the_scale_of_its_cells(scale):
    subject = Profile(**vars(model()))
    assert under_control(subject, sets(lambda x: x)).distance < 0.1
    found = under_control(subject, sets(CHANGES[scale]))
    assert found.distance > 0.2
    assert (found.scale, round(found.at_scale, 1)) == (scale, 0.0)


def config(path, **entry):
    given = {**SOURCE, "path": path, "set_size": 20, "n_sets": 2, "normalisation": "none", **entry}
    return {"cells": {"x": given}, "models": {"m": {"path": "m", "kind": "own", "context": "x", "regime": "fewshot"}}}


def test_cells_on_another_scale_than_the_models_are_refused_and_the_check_can_be_waived(tmp_path):
    given = config(screen(tmp_path / "half.h5ad", logged(counted()) / 2))
    subject = Profile(**vars(model()))
    said = named(census.model_findings(given, "m", subject, cells(), []))["under_control"]
    assert said.level == "fault"
    assert "away from the mean control cell of cells.x, 0.0" in said.words
    assert "if they are taken for half the scale" in said.words
    assert said.words.endswith("If it is meant: models.m.waive: [under_control]")
    given["models"]["m"]["waive"] = ["under_control"]
    assert named(census.model_findings(given, "m", subject, cells(), []))["under_control"].level == "waived"


class Blank(Profile):
    """Answers every cell with nothing, as a model that was hardly trained."""

    def predict_genes(self, values, perturbation, batches=None):
        return torch.zeros_like(torch.as_tensor(values))


def test_a_model_far_from_cells_is_refused_unless_the_counts_say_that_the_scale_is_right(tmp_path):
    given, subject = config(screen(tmp_path / "cells.h5ad")), Blank(**vars(model()))
    told = [Finding("cells.x", "log1p", "good", 0, 4, "")]
    levels = [
        named(census.model_findings(given, "m", subject, cells(), each))["under_control"].level for each in ([], told)
    ]
    assert levels == ["fault", "note"]


class Failing(Profile):
    def predict_genes(self, values, perturbation, batches=None):
        raise RuntimeError("no memory")


def test_a_model_that_fails_under_its_control_leaves_the_check_undecided(tmp_path):
    given, subject = config(screen(tmp_path / "cells.h5ad")), Failing(**vars(model()))
    said = named(census.model_findings(given, "m", subject, cells(), []))["under_control"]
    assert said.level == "uncheckable"
    assert said.words == "its prediction under the control failed: RuntimeError: no memory"


def test_a_waiver_is_only_of_checks_that_can_be_waived():
    broken = Finding("cells.x", "finite_values", "fault", 1, 9, "NaN")
    assert waived(broken, {"waive": ["finite_values"]}) == broken


def test_all_of_a_census_is_gathered_behind_its_keys(tmp_path):
    obs = labels()
    given = config(screen(tmp_path / "cells.h5ad", obs=obs), normalisation="log1p")
    given["programs"], faults = {}, ["programs: cannot be read"]
    subject = Profile(**vars(model(card={"cell_types": ["A"]})))
    found = census.census_of(given, {"m": subject}, {"x": cells()}, Programs({}), faults)
    assert {each.key for each in found} == {"cells.x", "models.m"}
    assert [text.split(":")[0] for text in faults] == ["programs", "models.m"]
    assert named(context_findings(given, "x", []))["log1p"].level == "good"


def test_programs_without_any_member_are_refused_with_the_spelling_that_has_most():
    sets = {f"p{i}": [f"g{i:02d}", "zzz"] for i in range(3)} | {"q": ["yyy"]}
    (said,) = program_findings({}, Programs(sets), {"m": model()})
    assert said.level == "fault"
    assert said.words == (
        "0 of 4 programs have a member among perturbations and genes of the models; "
        "3 do in upper case: set programs.spelling to 'upper'"
    )
    (said,) = program_findings({}, Programs({"e": ["ENSG00000115415"]}), {"m": model()})
    assert "these are Ensembl identifiers (ENSG00000115415) and the models have symbols (G00, G01)" in said.words
    assert said.words.endswith("Give a map of names: programs.names")
    said, perturbed = program_findings({}, Programs(sets | {"r": ["G01"]}), {"m": model()})
    assert (perturbed.level, perturbed.n, perturbed.of) == ("note", 4, 5)
    assert (said.level, said.n, said.of) == ("note", 4, 5)
    assert program_findings({}, Programs(sets), {}) == []
    assert program_findings({}, Programs({}), {"m": model()}) == []


def test_labels_that_hold_a_control_beside_the_gene_are_told_from_genes():
    labelled = model(perturbations=("ctrl", *(f"{gene}+ctrl" for gene in GENES[:4])))
    members, perturbed = program_findings({}, Programs({"p": ["G00", "G01"]}), {"m": labelled})
    assert members.level == "good"
    assert perturbed.words.startswith(
        "1 of 1 programs have no member among the perturbations of the models: these are symbols (G00, G01) and "
        "the models have labels with a control beside the gene (G00+ctrl, G01+ctrl)"
    )


def test_regulons_and_panels_that_name_no_gene_of_the_models_are_refused():
    (said,) = regulon_findings("probes.p.regulons.u", ["P42224", "O60674"], {"m": model()})
    assert said.level == "fault"
    assert (
        "none of its 2 regulators and targets is a gene or perturbation of the models: these are UniProt" in said.words
    )
    panels = {
        "far": {"regulators": ["G01"], "targets": ["Pdia3", "Calr"]},
        "near": {"regulators": ["G01"], "targets": ["G02"]},
    }
    asked = {"probes": {"targeted_jacobian": {}}, "panels": panels}
    (said,) = panel_findings(asked, {"m": model()})
    assert (said.key, said.level) == ("panels.far", "note")
    assert said.words.startswith("none of its targets (Pdia3, Calr) is a gene of the models: these are mouse symbols")
    del panels["near"]
    assert panel_findings(asked, {"m": model()})[0].level == "fault"


def test_regulons_of_which_no_regulator_has_enough_known_targets_are_noted():
    edges = pd.DataFrame({"source": ["G01", "G01", "G02", "far"], "target": ["G03", "G04", "G03", "G05"]})
    assert too_few_targets(edges, {"m": model()}, 2) == []
    assert too_few_targets(edges, {}, 3) == []
    (said,) = too_few_targets(edges, {"m": model()}, 3)
    assert said.startswith("nothing can be asked of these regulons: none of 3 regulators has 3 targets that a model")
    strangers = edges.assign(target=["x", "y", "z", "v"])
    assert len(too_few_targets(strangers, {"m": model()}, 1)) == 1


def test_files_of_a_state_directory_that_disagree_are_named(tmp_path, shared_path):
    import pickle
    import shutil

    from pertprobe.models.state.directory_checks import directory_findings
    from pertprobe.models.state.load import load_state

    folder = tmp_path / "m"
    shutil.copytree(shared_path("state/papalexi_fewshot_rep_1"), folder, copy_function=shutil.copyfile)
    (good,) = directory_findings("models.m", folder, load_state(folder))
    assert good.level == "good"
    dims = pickle.loads((folder / "var_dims.pkl").read_bytes())
    same = dims | {"gene_names": [dims["gene_names"][0]] * len(dims["gene_names"])}
    (folder / "var_dims.pkl").write_bytes(pickle.dumps(same))
    (said,) = directory_findings("models.m", folder, load_state(folder))
    assert said.level == "note"
    assert f"gene_names: var_dims.pkl names {same['gene_names'][0]} more than once, and is not read for" in said.words
    dims["pert_names"] = dims["pert_names"][::-1]
    (folder / "var_dims.pkl").write_bytes(pickle.dumps(dims | {"output_dim": 7}))
    written = yaml.safe_load((folder / "config.yaml").read_text())
    written["data"]["kwargs"]["control_pert"] = "DMSO"
    (folder / "config.yaml").write_text(yaml.safe_dump(written))
    (said,) = directory_findings("models.m", folder, load_state(folder))
    assert said.level == "fault"
    assert "pert_names: 26 names stand elsewhere (var_dims.pkl has 'non-targeting' where the model reads" in said.words
    assert "output_dim: 7 in var_dims.pkl, 299 in checkpoint" in said.words
    assert (
        "control_pert: DMSO in config.yaml, non-targeting in data_module.torch, non-targeting in checkpoint"
        in said.words
    )


def test_what_cannot_be_read_on_the_way_is_one_more_fault(tmp_path):
    given = config(screen(tmp_path / "cells.h5ad"), n_sets=1, set_size=20)
    subject = Profile(**vars(model(genes=(*GENES[:3], GENES[0]))))
    said = named(census.model_findings(given, "m", subject, cells(), []))
    assert said["readable"].level == "fault"
    assert "asked for twice: G00" in said["readable"].words
    assert said["control_label"].level == "good"
