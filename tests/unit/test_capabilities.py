"""What a model says it can do is how it is asked: by `capabilities`, never by its attributes."""

import ast
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from tiny import GENES, PERTURBATIONS, cell_sets, random_state, to_measure

from pertprobe.models.additive import AdditiveModel
from pertprobe.models.base import Capability
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.models.planted.gated import gated_models
from pertprobe.models.planted.linear_readout import linear_readout_model
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.stages.measuring import COPIES_NOTE, measure_shard
from pertprobe.testing.names import MEMBERS

ROOT = Path(__file__).parents[2]


def models():
    names = {"genes": GENES, "control": "ctrl"}
    others = [name for name in PERTURBATIONS if name != "ctrl"]
    programs = {"P": others[:4]}
    yield "state", random_state()
    yield "additive", AdditiveModel({name: np.ones(len(GENES)) for name in others}, **names)
    planted = planted_models(perturbations=others, cells=cell_sets(), programs=programs, **names)
    yield from planted.items()
    yield "gated", gated_models(planted["planted"], cell_sets())["planted"]
    asked = {"programs": programs, "namers": {"P": others[:2]}, "d": 1.0, "seed": 0}
    yield "linear readout", linear_readout_model(perturbations=others, **asked, **names)


MODELS = dict(models())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_what_it_declares_and_declares_what_it_has(name):
    model = MODELS[name]
    assert set(model.capabilities) <= set(get_args(Capability))
    for capability in MEMBERS.keys() - {"stages"}:  # a model without stages refuses them in words
        has = {member for member in MEMBERS[capability] if hasattr(model, member)}
        assert has == (set(MEMBERS[capability]) if capability in model.capabilities else set()), capability


def test_the_page_for_users_lists_every_capability():
    page = (ROOT / "docs" / "custom_model.md").read_text()
    assert [name for name in get_args(Capability) if f"| `{name}` |" not in page] == []


def test_nothing_asks_a_model_for_its_attributes():
    """But what checks whether it has what it declares."""
    asked, package = [], ROOT / "src" / "pertprobe"
    for path in sorted(set(package.rglob("*.py")) - set((package / "testing").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr":
                asked += [f"{path.name}: {ast.unparse(node)}"] if "model" in ast.unparse(node.args[0]) else []
    assert asked == []


class Bare:
    """A user's own model: its names, `predict`, which gives genes, and nothing else."""

    genes = output_genes = GENES
    perturbations, control, batches, set_size = PERTURBATIONS, "ctrl", (), 5
    capabilities, card = frozenset({"predict", "gene_space"}), {}

    def predict(self, values, perturbation, batches=None):
        return torch.as_tensor(values) + float(self.perturbations.index(perturbation))

    predict_genes = predict


@pytest.mark.parametrize("probe", ["delta_y", "knockout"])
def test_a_model_with_predict_alone_is_measured_and_told_what_it_lacks(probe):
    given = to_measure(
        Bare(), settings={"genes": "all", "by": "expression", "value": "zero", "perturbation": "control"}
    )
    found = measure_shard(probe, given, 0, 1, redrawn=2)
    assert found.data_vars
    assert found.attrs[COPIES_NOTE] == "no architecture null: model cannot be re-drawn: it has no redraw"


def test_a_model_with_predict_alone_is_told_which_stages_are_missing():
    found = measure_shard("pert_embedding", to_measure(Bare()), 0, 1)
    assert found.attrs[NOT_EVALUABLE] == "model has no stages"
