"""A file that a job made and that is no longer as the job left it is named, whatever kind of file it is."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pertprobe import evidence, made
from pertprobe.errors import Faults
from pertprobe.files import write_json, write_table
from pertprobe.identity import KnownFiles
from pertprobe.stages.measuring import write_measurement

rng = np.random.default_rng(0)


def measurement(path):
    write_measurement(xr.Dataset({"delta_y": (("perturbation", "gene"), rng.normal(size=(40, 50)))}), path)


def cells(path):
    from anndata import AnnData

    AnnData(rng.normal(size=(30, 20))).write_h5ad(path)


def weights(path):
    import torch
    from safetensors.torch import save_file

    save_file({"W_enc": torch.ones(30, 40)}, path)


def table(path):
    write_table(pd.DataFrame({"gene": [f"g{i}" for i in range(100)], "effect": rng.normal(size=100)}), path)


def rows(path):
    evidence.write(evidence.frame([evidence.row({"probe": "knockout", "model": f"m{i}"}) for i in range(20)]), path)


def folder(path):
    (path / "checkpoints").mkdir(parents=True)
    (path / "split.toml").write_text("a = 1\n")
    (path / "checkpoints" / "final.ckpt").write_bytes(os.urandom(300_000))


KINDS = {
    "measurements/knockout/a.nc": measurement,
    "inputs/cells/line_a.h5ad": cells,
    "sae/joint/sae_weights.safetensors": weights,
    "sae/joint/cfg.json": lambda path: write_json({"d_in": 3, "d_sae": 8}, path),
    "tables/panels.tsv": table,
    "evidence/knockout.tsv": rows,
    "arrays.npz": lambda path: np.savez(path, a=rng.normal(size=500)),
    "report.html": lambda path: path.write_text("<p>" * 200),
    "trained/a": folder,
}


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


def half(path):
    """Leave whole lines of a table, as a copy that was broken off does."""
    text = path.read_bytes()
    middle = text.find(b"\n", len(text) // 2) + 1
    path.write_bytes(text[: middle or len(text) // 2])


def emptied(path):
    path.write_bytes(b"")


def flipped(path):
    """Change one bit, and leave length and date."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def doubled(path):
    path.write_bytes(path.read_bytes() * 2)


@pytest.fixture
def results(tmp_path):
    """Return the results of a run in which every kind of file was made."""
    results = tmp_path / "results/tiny"
    for name, write in KINDS.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        write(results / name)
    made.record([results / name for name in KINDS], results)
    return results


@pytest.fixture
def files(tmp_path):
    """Return what one process knows of files, in a memory of its own."""
    return lambda **options: KnownFiles(tmp_path / "known.json", **options)


def test_what_is_as_it_was_made_is_whole(results, files):
    made.check([results / name for name in KINDS], results, files())
    assert made.damaged(results, files()) == made.damaged(results, files(verify=True)) == {}


@pytest.mark.parametrize("damage", [truncated, half, emptied, flipped, doubled], ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_named_with_what_to_do(results, files, name, damage):
    path = results / name
    inner = path / "checkpoints/final.ckpt" if path.is_dir() else path
    damage(inner)
    with pytest.raises(Faults) as told:
        made.check([results / each for each in KINDS], results, files())
    assert str(told.value).startswith(f"1 fault:\n  - {inner} is damaged: ")
    assert "bytes" in str(told.value)
    assert "Give the same command again: it is made anew" in str(told.value)
    assert list(made.damaged(results, files())) == [path.as_posix()]


def test_a_file_that_is_gone_from_a_folder_is_damage_and_one_that_is_gone_itself_is_none(results, files):
    (results / "trained/a/split.toml").unlink()
    (results / "report.html").unlink()
    assert list(made.damaged(results, files())) == [(results / "trained/a").as_posix()]
    with pytest.raises(Faults, match=r"split\.toml is damaged: it is gone"):
        made.check([results / "trained/a"], results, files())


def test_another_date_or_a_copy_of_all_results_is_no_damage(results, files, tmp_path):
    import shutil

    os.utime(results / "evidence/knockout.tsv")
    shutil.copytree(results, tmp_path / "elsewhere")
    assert made.damaged(results, files()) == made.damaged(tmp_path / "elsewhere", files()) == {}


def test_what_no_job_of_the_run_made_is_not_looked_at(results, files, tmp_path):
    (results / "notes.txt").write_text("by hand")
    (tmp_path / "given.h5ad").write_text("given")
    truncated(results / "trained/a/checkpoints/final.ckpt")
    made.check([results / "notes.txt", tmp_path / "given.h5ad"], results, files())
    made.check([results / "trained/a"], tmp_path / "results/other", files())  # given to another run as it is now


def test_records_of_shards_that_are_joined_are_removed(results, files):
    (results / "report.html").unlink()
    made.damaged(results, files())
    records = {path.name for path in (results / made.FOLDER).rglob("*.json")}
    assert "report.html.json" not in records
    assert len(records) == len(KINDS) - 1


def test_what_is_about_to_be_made_anew_is_forgotten(results, files):
    path = results / "evidence/knockout.tsv"
    made.forget([path], results)
    emptied(path)
    made.check([path], results, files())
    made.forget([path], results)


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"knockout.tsv": [1]})])
def test_a_damaged_record_is_no_proof_and_its_file_is_made_again(results, files, text):
    (results / made.FOLDER / "evidence/knockout.tsv.json").write_text(text)
    assert "cannot be told from a damaged one" in made.damaged(results, files())[f"{results}/evidence/knockout.tsv"]
