"""From files to evidence rows; what a run writes about its models, versions and times."""

import json
import re
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import xarray as xr
from tiny import GENES, PERTURBATIONS, MeanShift, cell_sets, profiles, random_state, subject, to_test

from pertprobe.data.cells import context_source, response_source
from pertprobe.data.control_genes import control_genes
from pertprobe.errors import PertprobeError
from pertprobe.models.cards import (
    known_gene_names,
    model_card,
    model_names,
    own_split,
    perturbation_table,
    read_cards,
    read_seen,
)
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.probes.declaration import declared
from pertprobe.stages.measuring import write_measurement
from pertprobe.stages.quality import PROGRAM_COLUMNS
from pertprobe.stages.testing import CAUSAL_NOTE, TestCase, read_test_case, run_test
from pertprobe.workflow.machine import gpus, source
from pertprobe.workflow.provenance import PACKAGES, provenance, run_times
from pertprobe.workflow.usage import used

PROBES = ["pert_embedding", "sae_features", "targeted_jacobian", "knockout"]
NAMES = sorted(set(PERTURBATIONS) - {"ctrl"})
PROGRAMS = {"P": ["g00", "g01", "g02"], "Q": ["x1", "x2", "x3"]}


def refused(reason="model has no stages"):
    return subject(xr.Dataset(attrs={NOT_EVALUABLE: reason}))


def embedding(seed=0):
    values = np.random.default_rng(seed).normal(size=(len(NAMES), 6))
    return profiles("embedding", values, NAMES, [f"h{i}" for i in range(6)]).isel(set=0)


@pytest.mark.parametrize("probe", PROBES)
def test_needs_that_are_not_met_are_a_row_for_every_program(probe):
    table = run_test(probe, TestCase(to_test(probe, refused(), PROGRAMS)))
    assert table.program.tolist() == ["P", "Q"]
    assert not table.evaluable.any()
    assert set(table.reason) == {"model has no stages"}
    assert set(table.statistic) == {declared(probe).primary}
    assert set(table.unit) == {"gene" if probe == "knockout" else "perturbation"}


def test_a_reference_that_could_not_be_measured_refuses_the_pair():
    measured = subject(embedding())
    inputs = to_test("pert_embedding", measured, PROGRAMS, reference=refused("no way"))
    table = run_test("pert_embedding", TestCase(inputs))
    assert set(table.reason) == {"no way"}
    both = to_test("pert_embedding", refused("no way"), PROGRAMS, reference=refused("no way"))
    assert set(run_test("pert_embedding", TestCase(both)).reason) == {"no way"}


@pytest.mark.parametrize("measured", [subject(embedding()), refused()])
def test_every_row_of_a_causal_model_is_marked(measured):
    inputs = to_test("pert_embedding", measured, PROGRAMS, settings={"neighbours": 2})
    marked, plain = (run_test("pert_embedding", TestCase(inputs, causal=causal)) for causal in (True, False))
    assert marked.reason.str.endswith(CAUSAL_NOTE).all()
    assert not plain.reason.str.contains("causal").any()
    pd.testing.assert_frame_equal(marked.drop(columns="reason"), plain.drop(columns="reason"))


class Files(dict):
    """Stands for Snakemake's input: names are attributes, `get` gives None for one that the rule does not have."""

    __getattr__ = dict.__getitem__


@pytest.fixture
def files(tmp_path):
    """Return the files of a test, as Snakemake's input names them, for a model and its reference."""
    write_measurement(embedding(), tmp_path / "m.nc")
    shift = profiles("delta_y", np.ones((len(NAMES), 4)), NAMES, GENES[:4], feature="gene")
    write_measurement(shift, tmp_path / "delta_y.nc")
    observed = shift.sel(variant="subject", drop=True).mean("set").assign_attrs(context="here")
    write_measurement(observed, tmp_path / "observed.nc")
    planted = embedding(seed=9).assign_coords(variant=["planted"])
    write_measurement(planted, tmp_path / "derived.nc")
    pd.DataFrame({"perturbation": NAMES, "seen": "here"}).to_csv(tmp_path / "seen.tsv", sep="\t", index=False)
    card = {"perturbations": [*NAMES, "ctrl"], "control": "ctrl", "genes": GENES[::-1], "output_genes": GENES}
    card |= {"causal": False, "shared_initialisation": {"r": {"difference": 0.7}, "s": {"difference": None}}}
    (tmp_path / "card.json").write_text(json.dumps(card | {"training_contexts": ["b", "c", "here"]}))
    (tmp_path / "causal.json").write_text(json.dumps(card | {"training_contexts": ["c", "b", "d"], "causal": True}))
    (tmp_path / "p.gmt").write_text("P\t\tg00\tg01\tg02\nQ\t\tx1\tx2\tx3\n")
    cell_sets().write(tmp_path / "cells.h5ad")
    gates = {"quality": {"P": "", "Q": "Q is poor", "gs": ""}, "poor": {"P": "P is poor", "Q": "", "gs": ""}}
    for name, reasons in gates.items():
        write_gates(tmp_path / f"{name}.tsv", reasons)
    kinds = {"m.nc": "measurement", "card.json": "card"}
    own = {name: tmp_path / f"{name}.nc" for name in ("delta_y", "observed", "derived")}
    own |= {name: tmp_path / f"{name}.tsv" for name in ("seen", "quality")}
    own |= {name: tmp_path / path for path, name in kinds.items()}
    other = {f"reference_{name}": path for name, path in own.items()}
    other |= {"reference_card": tmp_path / "causal.json", "reference_quality": tmp_path / "poor.tsv"}
    return Files(**own, **other, cells=tmp_path / "cells.h5ad", programs=[tmp_path / "p.gmt"])


def write_gates(path, reasons):
    """Write a table of program quality: a program with a reason does not beat the mean shift."""
    rows = [{**dict.fromkeys(PROGRAM_COLUMNS, ""), "program": name, "beats": not reason, "reason": reason}
            for name, reason in reasons.items()]  # fmt: skip
    pd.DataFrame(rows, columns=PROGRAM_COLUMNS).to_csv(path, sep="\t", index=False)


QUESTION = {
    "settings": {"neighbours": 2},
    "programs": {"patterns": {"gs": "^g0[0-3]$"}, "lists": {}, "min_perturbations": 2, "min_genes": 4},
    "panels": {"panel": {"program": "P", "regulators": ["g05"], "targets": ["g06"]}},
    "statistics": {"permutations": 99, "bootstrap": 50},
    "models": {"m": {"context": "here", "regime": "fewshot"}},
    "comparison": "contexts",
    "seed": 3,
}


def test_a_test_reads_what_its_rule_gives_it(files):
    asked = read_test_case("pert_embedding", "m", "", files, QUESTION)
    inputs = asked.inputs
    assert not asked.causal
    assert asked.quality == {"Q": "Q is poor (m)"}
    assert asked.derived.variant.values.tolist() == ["planted"]
    assert asked.reference_derived is None
    assert inputs.subject.observed["delta_y"].dims == ("perturbation", "gene")
    assert inputs.reference is None
    assert inputs.identity == {
        "probe": "pert_embedding", "model": "m", "reference": "", "context": "here", "regime": "fewshot",
    }  # fmt: skip
    assert dict(inputs.programs) == {"P": ("g00", "g01", "g02"), "Q": ("x1", "x2", "x3"), "gs": tuple(GENES[:4])}
    assert inputs.panels["panel"].perturbations == ("g00", "g01", "g02")
    assert inputs.cells.genes == GENES[::-1]
    assert inputs.subject.strength.to_dict() == dict.fromkeys(NAMES, 2.0)
    assert (inputs.min_perturbations, inputs.min_genes, inputs.permutations, inputs.seed) == (2, 4, 99, 3)


def test_a_pair_is_causal_if_either_model_is_and_knows_what_it_shares(files):
    asked = read_test_case("pert_embedding", "m", "r", files, QUESTION)
    assert asked.causal
    assert asked.inputs.reference is not None
    assert asked.inputs.shared_initialisation == 0.7
    assert asked.inputs.shared_training == ["b", "c"]
    assert read_test_case("pert_embedding", "m", "", files, QUESTION).inputs.shared_training == []
    assert read_test_case("pert_embedding", "m", "s", files, QUESTION).inputs.shared_initialisation == 0.0
    assert run_test("pert_embedding", asked).reference.unique().tolist() == ["r"]


def test_a_pair_is_held_back_by_the_quality_of_either_model(files):
    asked = read_test_case("knockout", "m", "r", files, QUESTION)
    assert asked.quality == {"P": "P is poor (r)", "Q": "Q is poor (m)"}
    files["reference_quality"] = files["quality"]
    asked = read_test_case("knockout", "m", "r", files, QUESTION)
    assert asked.quality == {"Q": "Q is poor (m); Q is poor (r)"}


@pytest.mark.parametrize("planted", [[], None])
def test_without_planted_models_there_is_nothing_to_read(files, planted):
    files["derived"] = files["reference_derived"] = planted
    if planted is None:
        del files["derived"], files["reference_derived"]
    asked = read_test_case("pert_embedding", "m", "r", files, QUESTION)
    assert (asked.derived, asked.reference_derived) == (None, None)
    assert set(run_test("pert_embedding", asked).role) == {"subject"}


def test_draws_depend_on_what_is_tested():
    one, other = (to_test(probe, refused(), PROGRAMS) for probe in ("a", "b"))
    assert one.random("x").random() == to_test("a", refused(), {}).random("x").random()
    assert len({each.random(name).random() for each in (one, other) for name in ("x", "y")}) == 4


def test_a_card_says_what_the_model_is_and_whom_it_resembles(tmp_path):
    cell_sets(genes=GENES[::-1]).write(tmp_path / "cells.h5ad")
    models = {"m": random_state(), "same": random_state(), "other": random_state(seed=1), "shift": MeanShift()}
    entry = {"context": "line_a", "regime": "fewshot"}
    card = json.loads(json.dumps(model_card("m", models, entry, tmp_path / "cells.h5ad")))
    assert (card["name"], card["context"], card["regime"], card["control"]) == ("m", "line_a", "fewshot", "ctrl")
    assert card["genes"] == list(GENES)
    assert card["capabilities"] == sorted(models["m"].capabilities)
    assert card["cells"] == cell_sets(genes=GENES[::-1]).for_genes(GENES).hash
    assert set(card["shared_initialisation"]) == {"same", "other"}
    assert card["shared_initialisation"]["same"]["difference"] > 0.5
    assert abs(card["shared_initialisation"]["other"]["difference"]) < 0.5
    assert model_card("shift", models, entry, tmp_path / "cells.h5ad")["shared_initialisation"] == {}


def test_a_card_names_the_contexts_whose_cells_were_trained_on_where_that_is_known(tmp_path):
    cell_sets(genes=GENES).write(tmp_path / "cells.h5ad")
    (tmp_path / "split.toml").write_text('[training]\nd = "train"\n[zeroshot]\n"d.b" = "test"\n')
    models = {"m": random_state(), "shift": MeanShift()}
    models["m"].card = {**models["m"].card, "cell_types": ["c", "b", "a"]}
    given = {"models": models, "entry": {"context": "a", "regime": "fewshot"}, "cells": tmp_path / "cells.h5ad"}
    assert model_card("m", **given)["training_contexts"] == ["a", "b", "c"]
    assert model_card("m", **given, split=tmp_path / "split.toml")["training_contexts"] == ["a", "c"]
    assert model_card("shift", **given)["training_contexts"] == []


def test_what_a_model_itself_says_is_in_its_card_and_knows_no_other_model(tmp_path):
    cell_sets(genes=GENES[::-1]).write(tmp_path / "cells.h5ad")
    models = {"m": random_state(), "other": random_state(seed=1)}
    names = json.loads(json.dumps(model_names(models["m"])))
    assert names.keys() == {
        "genes", "output_genes", "perturbations", "batches", "control", "set_size", "capabilities",
    }  # fmt: skip
    card = json.loads(json.dumps(model_card("m", models, {"context": "a", "regime": "b"}, tmp_path / "cells.h5ad")))
    assert {key: card[key] for key in names} == names
    assert known_gene_names([names]) == known_gene_names([card])


def test_a_model_whose_genes_the_cells_lack_is_refused(tmp_path):
    cell_sets(genes=(*GENES[:-1], "z")).write(tmp_path / "cells.h5ad")
    entry = {"context": "line_a", "regime": "fewshot"}
    with pytest.raises(PertprobeError, match="g11"):
        model_card("shift", {"shift": MeanShift()}, entry, tmp_path / "cells.h5ad")


def test_perturbations_are_unknown_without_a_split_and_sorted_by_it_otherwise(tmp_path):
    model = MeanShift()
    assert set(perturbation_table(model, None, "a").seen) == {"unknown"}
    assert own_split(tmp_path) is None
    text = '[training]\nd = "train"\n[fewshot."d.a"]\ntest = ["x1"]\n'
    assert tomllib.loads(text)
    (tmp_path / "split.toml").write_text(text)
    table = perturbation_table(model, own_split(tmp_path), "a")
    assert table.seen["x1"] == "never"
    assert table.seen["x2"] == "here"
    assert "ctrl" not in table.index
    table.to_csv(tmp_path / "seen.tsv", sep="\t")
    pd.testing.assert_series_equal(read_seen(tmp_path / "seen.tsv"), table.seen)


def test_cards_answer_the_evaluability_table(files):
    entries = {"m": {"context": "line_a", "regime": "zeroshot"}}
    found = read_cards(entries, [files.card], [files.seen])["m"]
    assert "ctrl" not in found["perturbations"]
    assert (found["context"], found["regime"], found["seen"]["x1"]) == ("line_a", "zeroshot", "here")
    assert known_gene_names([json.loads(files.card.read_text())]) == sorted({*NAMES, *GENES})


def test_a_cells_entry_says_where_cells_are():
    entry = {"path": "p", "context": "a", "control": "c", "genes": "var", "set_size": 3}
    assert context_source(entry) == {"context": "a", "control": "c", "gene_names": "var"}


def test_observed_responses_of_an_embedding_model_are_read_in_gene_space():
    entry = {"context": "a", "control": "c", "space": "X_emb", "genes": None, "normalisation": "none"}
    assert response_source({"capabilities": ["predict", "gene_space"]}, entry)["space"] == "X_emb"
    elsewhere = response_source({"capabilities": ["predict"]}, entry)
    assert (elsewhere["space"], elsewhere["normalisation"]) == ("X", "log1p")


def test_provenance_holds_versions_hashes_and_the_seed(tmp_path, files):
    (tmp_path / "checks.json").write_text('{"cells": {"line_a": {"sha256": "abc"}}}')
    Path(files.card).write_text(json.dumps({"sha256": {"w.ckpt": "123"}}))
    record = provenance(tmp_path / "checks.json", {"m": files.card}, {"line_a": files.cells}, 7)
    assert record["seed"] == 7
    assert record["versions"] == {name: version(name) for name in PACKAGES}
    assert record["inputs"]["cells"]["line_a"]["sha256"] == "abc"
    assert record["models"] == {"m": {"w.ckpt": "123"}}
    assert record["cells"] == {"line_a": cell_sets().hash}
    assert int(record["machine"]["cores"]) >= 1
    assert json.loads(json.dumps(record)) == record


def test_the_commit_of_a_clone_is_known_and_that_of_a_package_is_not(tmp_path):
    assert source(tmp_path) == {}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git[:3], "init", "-q"], check=True)
    (tmp_path / "file").write_text("one")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    assert re.fullmatch("[0-9a-f]{40}", source(tmp_path)["commit"])
    (tmp_path / "file").write_text("two")
    assert source(tmp_path)["commit"].endswith(" with changes")


def test_gpus_are_read_from_what_the_driver_says(tmp_path):
    for n, name in enumerate(("NVIDIA H200", "NVIDIA A100")):
        (tmp_path / str(n)).mkdir()
        (tmp_path / str(n) / "information").write_text(f"Model: \t\t {name}\nIRQ: 3\n")
    assert gpus(tmp_path) == ["NVIDIA H200", "NVIDIA A100"]
    assert gpus(tmp_path / "none") == []


def test_run_times_are_those_of_all_finished_jobs(tmp_path):
    lasts = {"test/knockout/m": used(time.monotonic() - 9), "test/failed": "Error: no cells", "cells/a": ""}
    for job, last in lasts.items():
        path = tmp_path / f"{job}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Took 1.0 s, or so\n{last}\n")
    found = run_times(tmp_path)
    assert list(found.columns) == ["rule", "job", "seconds", "cpu_seconds", "max_rss_mb"]
    assert found[["rule", "job"]].to_numpy().tolist() == [["test", "knockout/m"]]
    assert 9 <= found.seconds[0] < 20
    assert found.max_rss_mb[0] == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.5)
    assert list(run_times(tmp_path / "none").columns) == list(found.columns)


def test_a_job_took_what_its_own_process_did():
    work = "import time\nx = time.monotonic()\nfrom pertprobe.workflow.usage import used\nb = b'x' * 300_000_000\n"
    busy = "while time.process_time() < 1: pass\nprint(used(x))"
    # Behind a shell: what a process takes is counted from its fork on, and this one is large.
    command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", work + busy]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, cpu, peak = map(float, re.findall(r"[\d.]+\d", said))
    assert seconds >= 0.5
    assert 1 <= cpu < 2
    assert 280 <= peak < 500


def test_control_genes_stand_in_by_expression_and_are_of_no_panel():
    genes = tuple(f"g{i:02d}" for i in range(30))
    cells = cell_sets(n_sets=2, set_size=50, genes=genes)
    cells.values[:] += np.arange(30)[None, None, :] // 10  # three levels of expression
    found = control_genes(cells, ["g00", "g11"], ["g12", "g25", "g26"], ["g00", "g11", "g12", "g25", "g26", "g27"])
    chosen = [*found.regulators, *found.targets]
    assert len(set(chosen)) == 5
    assert not set(chosen) & {"g00", "g11", "g12", "g25", "g26", "g27"}
    assert [int(name[1:]) // 10 for name in found.regulators] == [0, 1]


def test_control_targets_are_correlated_as_the_targets_are():
    rng = np.random.default_rng(0)
    genes = tuple(f"g{i:02d}" for i in range(12))
    cells = cell_sets(n_sets=1, set_size=400, genes=genes)
    values = rng.random((400, 12)).astype(np.float32)
    values[:, 0] += 50  # a regulator and its stand-in, apart from all others
    values[:, 1] += 50
    for regulator, target in ((0, 2), (1, 7)):
        values[:, target] = values[:, regulator] - 50
    cells.values[0] = values
    found = control_genes(cells, ["g00"], ["g02"], ["g00", "g02"])
    assert found == (("g01",), ("g07",))


def test_no_gene_stands_in_twice():
    cells = cell_sets()
    cells.values[:] = 1.0
    found = control_genes(cells, GENES[:2], GENES[2:5], GENES[:5])
    assert sorted([*found.regulators, *found.targets]) == list(GENES[5:10])


def test_too_few_genes_give_fewer_stand_ins():
    cells = cell_sets(genes=("a", "b", "c"))
    assert control_genes(cells, ["a"], ["b"], ["a", "b"]) == (("c",), ())
    assert control_genes(cells, ["a"], ["b"], ["a", "b", "c"]) == ((), ())


def test_one_torch_thread_is_used_here():
    assert torch.get_num_threads() == 1
