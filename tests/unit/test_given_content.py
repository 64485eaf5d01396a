"""What a run is given is known by what it holds: each file that is read, and none that is not."""

import random
import sys
from copy import deepcopy

import pytest
import yaml

from pertprobe.files import sha256
from pertprobe.workflow import given_content
from pertprobe.workflow.config import whole_schema
from pertprobe.workflow.given_content import code_files, digest, held_by_all, held_by_model
from pertprobe.workflow.key_order import in_order
from pertprobe.workflow.settled import filled

STATE = (
    "config.yaml",
    "var_dims.pkl",
    "pert_onehot_map.pt",
    "batch_onehot_map.torch",
    "cell_type_onehot_map.torch",
    "checkpoints/final.ckpt",
    "split.toml",
)


@pytest.fixture
def state(tmp_path):
    """Return a folder with the files of a State model, and files that no reader of it takes."""
    for name in (*STATE, "checkpoints/step=100.ckpt", "best.ckpt", "version_0/metrics.csv"):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "model"


def test_a_state_model_is_what_its_reader_takes(state):
    held = held_by_model({"path": str(state)}, sha256)
    assert held == {name: sha256(state / name) for name in STATE}


def test_another_checkpoint_is_another_model(state, tmp_path):
    elsewhere = tmp_path / "elsewhere.ckpt"
    elsewhere.write_text("other weights")
    for chosen, name in [("step=100", "checkpoints/step=100.ckpt"), (str(elsewhere), "elsewhere.ckpt")]:
        held = held_by_model({"path": str(state), "checkpoint": chosen}, sha256)
        assert name in held
        assert "checkpoints/final.ckpt" not in held
    newer = {"path": str(state)}
    before = held_by_model(newer, sha256)
    (state / "checkpoints/final.ckpt").unlink()
    assert "best.ckpt" in held_by_model(newer, sha256)
    assert digest(held_by_model(newer, sha256)) != digest(before)


def test_a_checkpoint_that_is_not_there_is_left_to_job_one(state):
    assert "config.yaml" in held_by_model({"path": str(state), "checkpoint": "none.ckpt"}, sha256)


def test_a_file_that_cannot_be_read_is_left_to_job_one(state):
    def refusing(file):
        if file.name == "final.ckpt":
            raise PermissionError
        return sha256(file)

    assert held_by_model({"path": str(state)}, refusing)["checkpoints/final.ckpt"] == ""


@pytest.fixture
def own_kind(tmp_path, monkeypatch):
    """Return a function that installs code, name -> text, whose `my_model` reads models of the kind "mine"."""

    def install(files):
        code = tmp_path / "code"
        info = {"my-1.0.dist-info/METADATA": "Name: my\nVersion: 1.0\n"}
        info["my-1.0.dist-info/entry_points.txt"] = "[pertprobe.models]\nmine = my_model:load\n"
        for name, text in (files | info).items():
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(text)
        monkeypatch.syspath_prepend(code)
        code_files.cache_clear()
        return code

    yield install
    code_files.cache_clear()


def test_a_model_of_an_own_kind_is_its_files_and_its_code(own_kind, tmp_path):
    code = own_kind(
        {"my_model.py": "import helpers.maths\nfrom weights import read\n", "weights.py": "import my_model\n"}
        | {"helpers/__init__.py": "", "helpers/maths.py": "x = 1\n", "unrelated.py": "", "helpers/table.json": "{}"}
    )
    (tmp_path / "weights.npz").write_text("weights")
    held = held_by_model({"path": str(tmp_path / "weights.npz"), "kind": "mine"}, sha256)
    names = ("my_model.py", "weights.py", "helpers/__init__.py", "helpers/maths.py", "helpers/table.json")
    assert held == {"weights.npz": sha256(tmp_path / "weights.npz")} | {
        f"code of mine: {name}": sha256(code / name) for name in names
    }
    assert "my_model" not in sys.modules  # it is looked at, and not run


def test_the_code_of_a_package_is_all_of_it(own_kind):
    own_kind({"my_model/__init__.py": "", "my_model/net.py": "", "my_model/deep/part.py": "", "other.py": ""})
    names = {"my_model/__init__.py", "my_model/net.py", "my_model/deep/part.py"}
    assert set(code_files("mine")) == {f"code of mine: {name}" for name in names}


def test_beside_a_module_among_installed_packages_nothing_is_its_code(own_kind, monkeypatch):
    code = own_kind({"my_model.py": "import weights\n", "weights.py": ""})
    monkeypatch.setattr(given_content.sysconfig, "get_path", lambda name: str(code))
    assert set(code_files("mine")) == {"code of mine: my_model.py"}


def test_code_that_is_no_python_is_known_by_its_bytes_alone(own_kind):
    own_kind({"my_model.py": "import (\n"})
    assert set(code_files("mine")) == {"code of mine: my_model.py"}


def test_a_kind_that_nobody_brings_has_no_code():
    assert code_files("nobody_brings_this") == {}


def test_all_that_is_given_is_listed_models_by_their_key(state, tmp_path):
    for name in ("cells.h5ad", "genes.gmt", "network.tsv", "regulons.tsv", "split.toml", "style.mplstyle"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae/cfg.json").write_text("{}")
    config = {
        "run": "mine",
        "cells": {"liver": {"path": f"{tmp_path}/cells.h5ad"}},
        "models": {
            name: {"path": str(state), "split": f"{tmp_path}/split.toml", "checkpoint": chosen}
            for name, chosen in (("final", None), ("step", "step=100"))
        },
        "programs": {"gmt": [f"{tmp_path}/genes.gmt"]},
        "sae": {"joint": {"path": f"{tmp_path}/sae"}},
        "probes": {"regulon_recovery": {"regulons": {"collectri": f"{tmp_path}/regulons.tsv"}}},
        "controls": {"network": f"{tmp_path}/network.tsv"},
        "style": f"{tmp_path}/style.mplstyle",
    }
    held = held_by_all(config, sha256)
    files = ("cells.h5ad", "genes.gmt", "network.tsv", "regulons.tsv", "split.toml", "style.mplstyle", "sae/cfg.json")
    assert {name: each for name, each in held.items() if not name.startswith("models.")} == {
        f"{tmp_path}/{name}": sha256(tmp_path / name) for name in files
    }
    assert {name for name in held if name.startswith("models.final/")} == {f"models.final/{name}" for name in STATE}
    assert "models.step/checkpoints/step=100.ckpt" in held


def test_what_files_are_called_counts_as_what_they_hold():
    one = {"a": "0" * 64, "b": "1" * 64}
    assert digest(one) == digest(dict(reversed(one.items())))
    assert digest(one) != digest({"a": "1" * 64, "b": "0" * 64})
    assert digest(one) != digest({"a": "0" * 64})


def shuffled(value, rng):
    """Return a config with the keys of every mapping in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], rng) for key in rng.sample(list(value), len(value))}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["config/config.yaml", "config/replogle.yaml", ".test/config/config.yaml"])
def test_keys_in_another_order_are_the_same_config(request, seed, name, monkeypatch):
    root = request.config.rootpath
    monkeypatch.setenv("PERTPROBE_SHARED", "/shared")
    schema = whole_schema(root / "config/schema.yaml")
    config = yaml.safe_load((root / name).read_text())
    there = filled(deepcopy(config), schema)
    assert repr(filled(shuffled(config, random.Random(seed)), schema)) == repr(there)


def test_the_order_of_the_schema_is_kept_and_that_of_lists_too():
    schema = {"properties": {"levels": {"properties": {"late": {}, "early": {}}}, "models": {}}}
    config = {
        "models": {"b": {"y": 1, "x": [2, 1]}, "a": {}},
        "levels": {"other": 0, "early": 1, "late": 2},
        "run": "r",
    }
    found = in_order(config, schema)
    assert found == config
    assert list(found) == ["levels", "models", "run"]
    assert list(found["levels"]) == ["late", "early", "other"]
    assert list(found["models"]) == ["a", "b"]
    assert found["models"]["b"]["x"] == [2, 1]
