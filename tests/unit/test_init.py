"""`pertprobe init`: what it finds in models and cells that do not say the same, and what it writes."""

from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from pertprobe.errors import PertprobeError
from pertprobe.models.training_split import Split
from pertprobe.workflow.commands import app
from pertprobe.workflow.commands.place import workflow_folder
from pertprobe.workflow.config import schema_faults, whole_schema
from pertprobe.workflow.proposal import finding
from pertprobe.workflow.proposal.columns import Columns, Wanted, found_columns
from pertprobe.workflow.proposal.contexts import Trained, context_of, found_pairs, regime_of, short_names
from pertprobe.workflow.proposal.panels import askable, proposed_panels

GENES = [f"G{i}" for i in range(20)]
KNOCKED = [f"G{i}" for i in range(8)]
CONTROL = "non-targeting"


def labels(**columns):
    return {name: frozenset(held) for name, held in columns.items()}


WANTED = Wanted(KNOCKED, CONTROL, ("K562", "RPE1"), ("b0", "b1"))
HELD = labels(target=[*KNOCKED, CONTROL], line=["K562"], plate=["b0", "b1"], guide=["G0_1", "G1_2"])


def test_columns_are_found_by_what_they_hold_whatever_they_are_called():
    assert found_columns(HELD, WANTED) == Columns("target", "line", "plate")


def test_of_columns_that_hold_as_many_the_one_with_fewest_others_is_taken_then_the_usual_name():
    more = HELD | labels(everything=[*KNOCKED, CONTROL, "G99"], perturbation=[*KNOCKED, CONTROL], gene=KNOCKED)
    assert found_columns(more, WANTED).perturbation == "perturbation"


def test_a_model_without_batches_or_contexts_is_told_by_the_names_of_columns():
    silent = WANTED._replace(contexts=(), batches=())
    assert found_columns(labels(gene=HELD["target"], cell_line=["any"]), silent) == Columns("gene", "cell_line", None)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (HELD | labels(target=[each.lower() for each in (*KNOCKED, CONTROL)]), r"8 labels of obs\['target'\] do in"),
        (labels(line=["K562"], plate=["b0"]), r"found: line, plate\. Are these the cells"),
        (HELD | labels(target=[*KNOCKED, "non-targetting"]), r"not its control.*Did you mean 'non-targetting'"),
        (HELD | labels(line=["HepG2"]), r"no column of obs holds the model's contexts \(K562, RPE1\)"),
    ],
)
def test_what_fits_nothing_is_said_with_the_nearest_that_would(held, words):
    with pytest.raises(PertprobeError, match=words):
        found_columns(held, WANTED)


def trained(*words, split=None):
    return Trained(words, split)


def test_the_context_is_that_of_the_split_then_of_the_names_then_the_only_one():
    split = Split(heldout={"RPE1": frozenset({"G0"})})
    assert context_of(trained("st_K562", split=split), ["K562", "RPE1"], "m") == "RPE1"
    assert context_of(trained("run_fewshot-k562-2"), ["K562", "RPE1", "K5"], "m") == "K562"
    assert context_of(trained("of_rep_1"), ["rep", "rep_1"], "m") == "rep_1"
    assert context_of(trained("anything"), ["jurkat"], "m") == "jurkat"
    with pytest.raises(PertprobeError, match=r"K562, RPE1.*--context m=LABEL"):
        context_of(trained("mK562RPE1"), ["K562", "RPE1"], "m")


def test_the_regime_is_what_the_split_says_whatever_the_name_is():
    split = Split(zeroshot=frozenset({"K562"}))
    assert regime_of(trained("fewshot_K562", split=split), "K562") == "zeroshot"
    assert regime_of(trained("fewshot_K562", split=split), "RPE1") == "fewshot"
    assert regime_of(trained("Zero-Shot K562"), "K562") == "zeroshot"
    assert regime_of(trained("zeroshot_after_fewshot"), "K562") == "unknown"
    assert regime_of(trained("st"), "K562") == "unknown"


def test_names_are_short_and_different():
    assert list(short_names(["a/st_few_1", "a/st_zero_1"]).values()) == ["few_1", "zero_1"]
    assert list(short_names(["a/st_fewshot_A", "a/st_fewshot_B"]).values()) == ["fewshot_a", "fewshot_b"]
    assert list(short_names(["a/st", "b/st"]).values()) == ["st_1", "st_2"]
    assert list(short_names(["run/My Model (1)"]).values()) == ["my_model_1"]


def test_models_are_compared_that_differ_in_one_thing():
    models = {
        "a": ("K562", "fewshot", "X"),
        "b": ("RPE1", "fewshot", "X"),
        "c": ("K562", "zeroshot", "X"),
        "d": ("K562", "zeroshot", "X_emb"),
        "e": ("RPE1", "unknown", "X"),
    }
    assert found_pairs(models) == {"contexts": [["a", "b"]], "regimes": [["a", "c"]]}
    assert found_pairs({"c": models["c"], "a": models["a"]}) == {"regimes": [["a", "c"]]}


def test_panels_take_measured_genes_and_known_targets_where_there_are_any():
    programs = {"P Q": ["G0", "G1", "G9", "G10", "G11", "G12", "X1"], "few": ["G2", "G3", "G9"]}
    expression = pd.Series({"G0": 1.0, "G9": 1.0, "G10": 3.0, "G11": 0.0, "G12": 2.0, "G15": 5.0, "G16": 4.0, "G17": 1})
    knocked = askable(programs, KNOCKED, 2)
    assert knocked == {"P Q": ["G0", "G1"], "few": ["G2", "G3"]}
    found = proposed_panels(programs, knocked, expression, {})
    assert found == {"p_q": {"program": "P Q", "regulators": ["G0"], "targets": ["G10", "G12", "G9"]}}
    known = proposed_panels(programs, knocked, expression, {"G0": ["G15", "G16", "G17", "G0"]})
    assert known["p_q"]["targets"] == ["G15", "G16", "G17"]
    assert proposed_panels(programs, knocked, expression, {"G0": ["G15"]}) == found


def fake_model(**changes):
    given = {
        "genes": GENES, "output_genes": GENES, "perturbations": [*KNOCKED, CONTROL], "control": CONTROL,
        "batches": ["b0", "b1"], "set_size": 4, "capabilities": {"predict", "gene_space"},
        "card": {"cell_types": ["K562", "RPE1"], "embed_key": "X_hvg"},
    }  # fmt: skip
    return SimpleNamespace(**{**given, **changes})


def cells_file(path, names=GENES, scale=np.log1p, batches=("b0", "b1"), context="K562", n=20):
    rng = np.random.default_rng(0)
    obs = [(each, context, batches[i % 2]) for each in (*KNOCKED, *[CONTROL] * 4) for i in range(n)]
    frame = pd.DataFrame(obs, columns=["target", "line", "plate"], index=[f"c{i}" for i in range(len(obs))])
    values = scale(rng.poisson(3, (len(obs), len(names))).astype(np.float32))
    anndata.AnnData(values, frame, pd.DataFrame({"symbol": GENES}, index=list(names))).write_h5ad(path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finding, "load_model", lambda path, **_: fake_model())
    for name in ("st_fewshot_K562", "st_zeroshot_K562"):
        (tmp_path / name).mkdir()
    (tmp_path / "sets.gmt").write_text("one\tx\t" + "\t".join(GENES[2:12]) + "\nother\tx\tQ1\tQ2\n")
    return tmp_path


def init(*more, models=("st_fewshot_K562", "st_zeroshot_K562"), cells="cells.h5ad", programs="sets.gmt"):
    given = [part for model in models for part in ("--model", model)]
    return CliRunner().invoke(app, ["init", *given, "--cells", cells, "--programs", programs, *more])


def test_a_config_is_written_that_fits_the_schema_and_can_reach_an_answer(folder):
    cells_file(folder / "cells.h5ad")
    done = init()
    assert done.exit_code == 0, done.output
    text = (folder / "cells.yaml").read_text()
    config = yaml.safe_load(text)
    assert not schema_faults(config, whole_schema(workflow_folder() / "config" / "schema.yaml"))
    assert len(text.splitlines()) <= 25
    entry = config["cells"]["k562"]
    assert (entry["perturbation_column"], entry["context_column"], entry["batch_column"]) == ("target", "line", "plate")
    assert (entry["space"], entry["set_size"], entry["n_sets"]) == ("X", 4, 8)
    assert config["pairs"] == {"regimes": [["fewshot_k562", "zeroshot_k562"]]}
    assert {"intervention_fidelity", "targeted_jacobian", "regime_agreement"} <= set(config["probes"])
    assert "knockout" not in config["probes"]  # it compares two contexts
    assert config["panels"]["one"]["regulators"] == KNOCKED[2:]
    assert "# 1 of 2 programs have 3 or more knocked-down genes." in text
    assert "8 of 8 perturbations have cells here" in text


def test_nothing_is_written_over(folder):
    cells_file(folder / "cells.h5ad")
    (folder / "cells.yaml").write_text("mine")
    done = init()
    assert done.exit_code == 1
    assert "cells.yaml is there already" in done.output
    assert (folder / "cells.yaml").read_text() == "mine"
    assert init("--force").exit_code == 0


def test_names_of_genes_in_another_column_and_unknown_batches_are_dealt_with_in_words(folder):
    cells_file(folder / "cells.h5ad", names=[f"ENSG{i}" for i in range(20)], batches=("b0", "b7"))
    done = init()
    assert done.exit_code == 0, done.output
    entry = yaml.safe_load((folder / "cells.yaml").read_text())["cells"]["k562"]
    assert entry["genes"] == "var:symbol"
    assert entry["batch_column"] is None
    assert "batches of obs['plate'] that fewshot_k562 does not know (b7)" in done.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": lambda counts: counts}, "space X: .*raw counts"),
        ({"names": [f"H{i}" for i in range(20)], "symbol": False}, "no matrix of the file has all 20 genes"),
        ({"context": "HepG2"}, "no column of obs holds the model's contexts"),
    ],
)
def test_cells_that_are_not_the_models_end_in_words_for_every_model(folder, change, words):
    symbol = change.pop("symbol", True)
    cells_file(folder / "cells.h5ad", **change)
    if not symbol:
        read = anndata.read_h5ad(folder / "cells.h5ad")
        read.var = read.var.drop(columns="symbol")
        read.write_h5ad(folder / "cells.h5ad")
    done = init()
    assert done.exit_code == 1
    assert "2 faults" in done.output
    assert pd.Series([done.output.replace("\n", " ")]).str.contains(words).all(), done.output
    assert not (folder / "cells.yaml").exists()


def test_gene_sets_in_other_capitals_are_told(folder):
    cells_file(folder / "cells.h5ad")
    (folder / "sets.gmt").write_text("one\tx\t" + "\t".join(each.lower() for each in GENES[:6]) + "\n")
    done = init()
    assert done.exit_code == 1
    assert "1 do in other capitals" in done.output.replace("\n", " ")


def test_cells_in_two_files_are_each_found(folder, monkeypatch):
    (folder / "st_fewshot_RPE1").mkdir()
    for context in ("K562", "RPE1"):
        cells_file(folder / f"{context}.h5ad", context=context)
    done = init("--cells", "RPE1.h5ad", models=("st_fewshot_K562", "st_fewshot_RPE1"), cells="K562.h5ad")
    assert done.exit_code == 0, done.output
    config = yaml.safe_load((folder / "k562.yaml").read_text())
    assert config["cells"]["rpe1"]["path"] == "RPE1.h5ad"
    assert config["pairs"] == {"contexts": [["fewshot_k562", "fewshot_rpe1"]]}
    both = init("--cells", "K562.h5ad", "--force", models=("st_fewshot_K562",), cells="K562.h5ad")
    assert both.exit_code == 0  # one file twice is one file


def test_real_directories_and_cells_are_reconciled(shared_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("papalexi_fewshot_rep_1", "papalexi_fewshot_rep_2", "papalexi_zeroshot_rep_1")
    cells = shared_path("data", "papalexi_thp1_eccite_mit.h5ad")
    sets = shared_path("genesets", "hallmark_msigdb_v2025.1.gmt")
    models = [str(shared_path("state", name)) for name in names]
    done = init("--run", "papalexi", models=models, cells=str(cells), programs=str(sets))
    assert done.exit_code == 0, done.output
    config = yaml.safe_load((tmp_path / "papalexi.yaml").read_text())
    # The directories say gene, cell_type, gem_group and X_hvg; the file has none of these.
    entry = config["cells"]["rep_1"]
    assert (entry["perturbation_column"], entry["context_column"]) == ("perturbation", "cell_context")
    assert (entry["batch_column"], entry["space"], entry["set_size"]) == ("batch", "X", 32)
    assert config["pairs"] == {
        "contexts": [["fewshot_rep_1", "fewshot_rep_2"]],
        "regimes": [["fewshot_rep_1", "zeroshot_rep_1"]],
    }
    assert {"JAK2", "STAT1"} <= set(config["panels"]["hallmark_interferon_gamma_response"]["regulators"])
    assert len((tmp_path / "papalexi.yaml").read_text().splitlines()) <= 25
