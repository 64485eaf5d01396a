"""What is given enters by what it holds: a changed byte reruns what depends on it, whatever its date, and no more.

No job is run: Snakemake is told that all results are there (`--touch`), and plans what a change makes it do.
"""

import os
import random
import shutil
from collections import Counter

import pytest
from workflow_project import JOB, RESULTS, Project, planned, tiny

from pertprobe import made

MODELS = ("a_fewshot", "b_fewshot", "a_zeroshot")
STATE = ("config.yaml", "var_dims.pkl", "pert_onehot_map.pt", "batch_onehot_map.torch", "checkpoints/final.ckpt")
CODE = {
    "mine.py": "import mine_layers\n",
    "mine_layers.py": "WIDTH = 3\n",
    "mine-1.0.dist-info/METADATA": "Name: mine\nVersion: 1.0\n",
    "mine-1.0.dist-info/entry_points.txt": "[pertprobe.models]\nmine = mine:load\n",
}
"""Code of the kind of the third model."""
FILES = {
    **{f"models/{model}/{name}": "" for model in MODELS[:2] for name in STATE},
    "models/a_fewshot/checkpoints/step=100.ckpt": "",
    "models/a_zeroshot/weights.npz": "",
    "sae/cfg.json": "",
    "sae/sae_weights.safetensors": "",
    **dict.fromkeys(
        ["cells_a.h5ad", "cells_b.h5ad", "sets.gmt", "regulons.tsv", "network.tsv", "b.toml", "labels.tsv"], ""
    ),
    "paper.mplstyle": "",
    **{f"src/{name}": text for name, text in CODE.items()},
}
"""Files of the run, name -> text; without one they hold their own name. Jobs would refuse most, and none is run."""
OLD = 10**9
"""A date of long ago, in seconds."""


def given_config():
    """Return a config every section of which names files."""
    config = tiny()
    del config["simulate"]
    config["programs"]["gmt"], config["controls"]["network"] = ["sets.gmt"], "network.tsv"
    config["style"] = "paper.mplstyle"
    config["perturbations"] = {"table": "labels.tsv"}
    config["cells"]["line_a"]["path"], config["cells"]["line_b"]["path"] = "cells_a.h5ad", "cells_b.h5ad"
    config["models"] = {
        "a_fewshot": {"context": "line_a", "path": "models/a_fewshot"},
        "b_fewshot": {"context": "line_b", "path": "models/b_fewshot", "split": "b.toml"},
        "a_zeroshot": {"context": "line_a", "path": "models/a_zeroshot", "kind": "mine"},
    }
    config["sae"] = {"joint": {"models": ["a_fewshot", "b_fewshot"], "path": "sae"}}
    config["probes"]["regulon_recovery"] = {"genes": 10, "regulons": {"collectri": "regulons.tsv"}}
    return config


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return a project whose results are all there, and newer than everything that was given."""
    project = Project.fresh(tmp_path_factory.mktemp("given"))
    for name, text in FILES.items():
        path = project.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or f"{name}\n")
        os.utime(path, (OLD, OLD))
    said = project.finish("--dry-run", "--", "all", config=given_config())
    outputs = (name.removesuffix(" (temp)") for names in JOB.findall(said) for name in names.split(", "))
    for name in outputs:
        if name.startswith(str(RESULTS)):
            (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (project.folder / name).touch()
    project.finish("--touch", "--forceall", "--cores", "1", "--quiet", "all", "--", "all", config=given_config())
    return project


@pytest.fixture
def project(done, tmp_path):
    """Return a copy that a test may change."""
    return done.copy(tmp_path / "project")


def plan(project, config=None):
    return project.plan(config or given_config(), "all")


def rewritten(path):
    """Change a byte in place: the same length, date and inode."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def copied(path):
    """Put a file of another content and an older date in its place, as `cp -p` and `rsync -t` do."""
    other = path.with_name("other")
    other.write_text("other content\n")
    os.utime(other, (OLD - 100, OLD - 100))
    os.replace(other, path)


def test_without_a_change_there_is_nothing_to_do(project):
    assert plan(project).jobs == Counter()


def shuffled(value, rng):
    """Return a config with the keys of every mapping in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], rng) for key in rng.sample(list(value), len(value))}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value


def test_dates_copies_checkpoints_not_in_use_and_the_order_of_keys_are_no_change(project):
    shutil.copytree(project.folder / "models", project.folder / "again")
    shutil.rmtree(project.folder / "models")
    os.rename(project.folder / "again", project.folder / "models")
    for name in (*FILES, "models/a_fewshot", "sae"):
        os.utime(project.folder / name)
    rewritten(project.folder / "models/a_fewshot/checkpoints/step=100.ckpt")
    config = shuffled(given_config(), random.Random(1))
    assert list(config["models"]) != list(given_config()["models"])
    assert plan(project, config).jobs == Counter()


def measured(plan):
    """Return the models of which anything is measured again."""
    names = (name.split("/") for name in plan.outputs if name.startswith("measurements/"))
    return {parts[-1].removesuffix(".nc") for parts in names if "derived" not in parts and "shards" not in parts}


OF_ONE_MODEL = [
    ("models/a_fewshot/checkpoints/final.ckpt", rewritten, "a_fewshot"),
    ("models/a_fewshot/pert_onehot_map.pt", copied, "a_fewshot"),
    ("models/a_zeroshot/weights.npz", copied, "a_zeroshot"),
    ("src/mine_layers.py", rewritten, "a_zeroshot"),
    ("b.toml", copied, "b_fewshot"),
]
"""Given file, what happens to it, and the model that it belongs to."""


@pytest.mark.parametrize(("name", "change", "model"), OF_ONE_MODEL)
def test_a_changed_byte_of_a_model_measures_that_model_again_and_no_other(project, name, change, model):
    change(project.folder / name)
    outputs = plan(project).outputs
    assert {each for each in outputs if each.endswith("perturbations.tsv")} == {f"models/{model}/perturbations.tsv"}
    again = {each for each in outputs if each.startswith("measurements/") and "/derived/" not in each}
    assert {each.split("/")[1] for each in again if model in each} >= {"delta_y", "knockout", "targeted_jacobian"}
    # An autoencoder is read for its models together, and all that is read through it.
    assert all("/sae_features/" in each for each in again if model not in each)


def test_a_replaced_folder_is_noticed(project):
    folder = project.folder / "models/b_fewshot"
    shutil.copytree(folder, project.folder / "other")
    (project.folder / "other/checkpoints/final.ckpt").write_text("other weights\n")
    for path in (*(project.folder / "other").rglob("*"), project.folder / "other"):
        os.utime(path, (OLD, OLD))
    shutil.rmtree(folder)
    os.rename(project.folder / "other", folder)
    assert "b_fewshot" in measured(plan(project))


def test_changed_cells_of_a_context_draw_its_cells_again_and_no_others(project):
    copied(project.folder / "cells_b.h5ad")
    outputs = plan(project).outputs
    assert {name for name in outputs if name.startswith("inputs/cells")} == {"inputs/cells/line_b.h5ad"}
    assert {name for name in outputs if name.endswith("observed.nc")} == {"models/b_fewshot/observed.nc"}


def test_changed_gene_sets_test_all_again_and_measure_no_model(project):
    copied(project.folder / "sets.gmt")
    found = plan(project)
    assert {rule for rule in found.jobs if rule.startswith("measure")} == {"measure_derived"}
    assert found.jobs["test"] == 3 * len(given_config()["probes"])
    assert found.jobs["recheck_inputs"] == 1


@pytest.mark.parametrize(
    ("name", "rules", "spared"),
    [
        ("regulons.tsv", {"test", "verdicts"}, {"measure", "rivals"}),
        ("network.tsv", {"rivals"}, {"measure", "cells"}),
        ("labels.tsv", {"seen", "observe", "measure", "test"}, {"train", "simulate"}),
        ("sae/cfg.json", {"read_sae", "sae_quality"}, {"seen", "cells"}),
        (
            "paper.mplstyle",
            {"draw", "draw_quality", "draw_verdicts", "draw_scorecard"},
            {"measure", "test", "verdicts"},
        ),
    ],
)
def test_every_other_file_reruns_what_reads_it(project, name, rules, spared):
    rewritten(project.folder / name)
    jobs = plan(project).jobs
    assert rules | {"recheck_inputs", "provenance"} <= jobs.keys()
    assert not spared & jobs.keys()


def test_what_a_job_made_and_is_damaged_is_named_and_made_again(project):
    table = project.results / "evidence/knockout.tsv"
    stat = table.stat()
    table.write_text("program\testimate\nall\t1\nnone\t2\n")
    made.record([table], project.results)
    table.write_text("program\testimate\nall\t1\n")  # half a table, and a date that tells nothing
    os.utime(table, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    said = project.finish("--dry-run", "--", "all", config=given_config())
    assert (
        "results/tiny/evidence/knockout.tsv is damaged: it has 23 bytes, and 30 were written. It is made again" in said
    )
    assert {"gather_evidence", "verdicts", "report"} <= planned(said).jobs.keys()
    assert "test" not in planned(said).jobs
