"""Copies of a model for the architecture null."""

import gc
import itertools
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pertprobe.errors import PertprobeError
from pertprobe.models.additive import AdditiveModel
from pertprobe.models.randomised import (
    STAGES_FROM_OUTPUT,
    permutation_obstacle,
    permuted_weights,
    randomised_controls,
    redraw_obstacle,
)
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import STAGES, StateModel
from pertprobe.roles import role_of
from pertprobe.seeding import seed_of

GENES = tuple(f"g{i}" for i in range(9))
ARCHITECTURE = StateArchitecture(
    input_dim=9, hidden_dim=8, output_dim=9, pert_dim=5, batch_dim=3, cell_set_len=6, batch_encoder=True,
    n_layers=2, n_heads=4, n_kv_heads=2, head_dim=6, intermediate_dim=12, confidence_token=True,
)  # fmt: skip


def state(seed=0, dtype=torch.float64):
    """Return a model whose every weight is random, as if trained."""
    draw = torch.Generator().manual_seed(seed)
    fresh = initial_parameters(ARCHITECTURE, 0)
    weights = {name: (w + 0.3 * torch.randn(w.shape, generator=draw)).to(dtype) for name, w in fresh.items()}
    return StateModel(
        ARCHITECTURE, weights, genes=GENES, output_genes=GENES, perturbations=("A", "B", "C", "D", "ctrl"),
        perturbation_features=torch.eye(5), control="ctrl", batches=("b0", "b1", "b2"),
    )  # fmt: skip


class OnlyRedraws:
    """A user's own model: it can be re-drawn, and shows no weights."""

    capabilities = frozenset({"predict", "redraw"})

    def __init__(self, seed=None):
        self.seed = seed

    def redraw(self, seed, keep=()):
        return OnlyRedraws(seed)


def stage_of(name):
    return next(stage for stage, prefixes in STAGES.items() if name.startswith(prefixes))


def same(a, b):
    """Return the stages all of whose weights two models share."""
    differing = {stage_of(name) for name in a.parameters if not torch.equal(a.parameters[name], b.parameters[name])}
    return set(STAGES) - differing


def test_names_and_roles_of_all_copies():
    found = [name for name, _ in randomised_controls(state(), 2, cascade=True)]
    assert found == [
        "redrawn_1", "shuffled_1", "redrawn_2", "shuffled_2",
        "cascade_decode", "cascade_mix", "cascade_encode_cells", "cascade_encode_perturbations",
    ]  # fmt: skip
    assert [role_of(name) for name in found[:4]] == [("redrawn", 1), ("shuffled", 1), ("redrawn", 2), ("shuffled", 2)]


def test_there_may_be_none():
    assert list(randomised_controls(state(), 0)) == []


@pytest.mark.parametrize("keep", [(), ("encode_perturbations", "encode_cells")])
def test_copies_share_with_the_model_what_is_kept_and_nothing_else(keep):
    model = state()
    for _, copy in randomised_controls(model, 2, keep):
        assert same(model, copy) == set(keep)


def test_a_shuffled_copy_has_the_same_numbers_at_other_places():
    model = state()
    copy = permuted_weights(model, 3, 1)
    for name, weight in model.parameters.items():
        other = copy.parameters[name]
        assert other.shape == weight.shape
        assert other.dtype == weight.dtype
        torch.testing.assert_close(other.flatten().sort().values, weight.flatten().sort().values, rtol=0, atol=0)
        assert weight.numel() < 6 or not torch.equal(other, weight), name
    assert copy.card["shuffled"] == {"seed": 3, "copy": 1, "keep": []}
    assert "shuffled" not in model.card


def test_shuffling_is_uniform_over_places():
    """Each entry is as likely at every place: chi-squared over 4,000 copies of four numbers."""
    weight = {"project_out.0.bias": torch.arange(4.0)}

    class Four:
        parameters, card = weight, {}

        def parameters_of(self, stages):
            return frozenset()

        def with_parameters(self, parameters, card):
            return parameters["project_out.0.bias"]

    counts = np.zeros((4, 4))
    for number in range(4000):
        counts[np.arange(4), permuted_weights(Four(), 0, number).int().numpy()] += 1
    assert ((counts - 1000) ** 2 / 1000).sum() < 33.7  # 99.99 % of chi-squared with 9 degrees of freedom


def test_draws_depend_on_the_seed_and_the_number_alone():
    """Two models of a pair share theirs: neither the name nor the weights of a model are part of a draw."""
    one, other = (dict(randomised_controls(state(seed), 2, seed=5)) for seed in (0, 1))
    assert same(one["redrawn_1"], other["redrawn_1"]) == set(STAGES)
    assert same(one["redrawn_1"], one["redrawn_2"]) == set()
    assert same(one["redrawn_1"], dict(randomised_controls(state(), 1, seed=6))["redrawn_1"]) == set()
    name = "project_out.0.weight"
    went = []
    for seed, found in enumerate((one, other)):
        before, after = (each.parameters[name].flatten() for each in (state(seed), found["shuffled_2"]))
        went.append(after.argsort()[before.argsort().argsort()])
    assert torch.equal(*went)


def test_a_redrawn_copy_is_the_models_own_redraw():
    model, seed = state(), seed_of(5, "redrawn", 2)
    assert same(
        dict(randomised_controls(model, 2, ("mix",), seed=5))["redrawn_2"], model.redraw(seed, ("mix",))
    ) == set(STAGES)


def test_a_cascade_redraws_one_stage_more_each_time():
    model = state()
    found = dict(randomised_controls(model, 1, keep=("encode_cells",), seed=2, cascade=True))
    steps = [found[f"cascade_{stage}"] for stage in STAGES_FROM_OUTPUT]
    for depth, step in enumerate(steps, start=1):
        assert same(model, step) == set(STAGES_FROM_OUTPUT[depth:])
    for earlier, later in itertools.pairwise(steps):
        stages = {stage_of(name) for name in model.parameters} - same(model, earlier)
        assert stages <= same(earlier, later)
    assert same(steps[-1], dict(randomised_controls(model, 1, seed=2))["redrawn_1"]) == set(STAGES)


def test_one_copy_is_in_memory_at_a_time():
    alive = []
    for _, copy in randomised_controls(state(), 3):
        alive.append(weakref.ref(copy))
        del copy
        gc.collect()
        assert sum(each() is not None for each in alive) <= 1


def test_a_model_without_weights_has_no_architecture_null():
    model = AdditiveModel({"A": np.ones(9)}, genes=GENES, control="ctrl")
    assert "no architecture null" in redraw_obstacle(model)
    assert list(randomised_controls(model, 3, cascade=True)) == []
    assert (
        redraw_obstacle(SimpleNamespace(capabilities={"predict"}, card={}))
        == "model cannot be re-drawn: it has no redraw"
    )
    assert redraw_obstacle(state()) == permutation_obstacle(state()) == ""


def test_a_model_that_shows_no_weights_has_redrawn_copies_only():
    found = dict(randomised_controls(OnlyRedraws(), 2, cascade=True, seed=1))
    assert list(found) == ["redrawn_1", "redrawn_2"]
    assert found["redrawn_2"].seed == seed_of(1, "redrawn", 2)
    assert redraw_obstacle(OnlyRedraws()) == ""
    assert permutation_obstacle(OnlyRedraws()).endswith("it has no parameters")


def test_an_unknown_stage_is_refused():
    with pytest.raises(PertprobeError, match=r"unknown stages backbone \(known: encode_perturbations"):
        list(randomised_controls(state(), 1, ("backbone",)))
    with pytest.raises(PertprobeError, match="unknown stages backbone"):
        permuted_weights(state(), 0, 1, ("backbone",))
