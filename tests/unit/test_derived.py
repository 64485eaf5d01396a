"""The models planted beside a model: made of its own names and of the very cells that are probed."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from tiny import GENES, PERTURBATIONS, cell_sets

from pertprobe.models.known.fitting import known_models
from pertprobe.models.known.model import write_known
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.stages.measuring import write_measurement
from pertprobe.stages.planted import derived_models, with_known

NAMES = sorted(set(PERTURBATIONS) - {"ctrl"})
CARD = {
    "genes": list(GENES), "output_genes": list(GENES), "perturbations": [*NAMES, "ctrl"], "control": "ctrl",
    "batches": ["b0", "b1"], "set_size": 5,
}  # fmt: skip
PROGRAMS = {
    "patterns": {"pattern": "^g0[0-2]$"},
    "lists": {"few": ["x1", "g11"]},
    "min_perturbations": 3,
    "min_genes": 3,
}
PANEL = {"program": "pattern", "regulators": ["g06"], "targets": ["g08"], "perturbations": "program"}
CONTROLS = {"redrawn": 5, "cascade": True, "planted": {"d": 2.0}, "additive": True}


@pytest.fixture
def observed(tmp_path):
    """Write observed responses of some perturbations, and of one that the model does not know."""
    values = np.arange(3 * 12, dtype=np.float32).reshape(3, 12)
    names = ["g00", "unknown to the model", "x1"]
    dataset = xr.Dataset({"delta_y": (("perturbation", "gene"), values)},
                         {"perturbation": names, "gene": list(GENES[::-1])})  # fmt: skip
    write_measurement(dataset, tmp_path / "observed.nc")
    return tmp_path / "observed.nc"


OTHER = cell_sets(seed=5, silent=["g09"])
"""Another context, in which a gene is not expressed."""


@pytest.fixture
def made(tmp_path, observed):
    """Return what makes the models of a card; the file holds one more program."""
    (tmp_path / "p.gmt").write_text("file\t\tx1\tx2\tx3\tg05\n")

    def make(card=CARD, panels=None, cells=None, contexts=None, **controls):
        cells = cell_sets() if cells is None else cells
        given = {"programs": PROGRAMS, "panels": {"panel": PANEL} if panels is None else panels, "seed": 3}
        contexts = (cells, OTHER) if contexts is None else contexts
        return derived_models(card, cells, [tmp_path / "p.gmt"], observed, contexts,
                              controls={**CONTROLS, **controls}, **given)  # fmt: skip

    return make


def test_they_have_the_models_names_and_answer_for_its_cells(made):
    models = made()
    assert list(models) == ["planted", "lookup", "covariation", "additive"]
    for model in models.values():
        assert model.genes == model.output_genes == GENES
        assert set(model.perturbations) == set(PERTURBATIONS)
        assert model.control == "ctrl"
        assert model.predict(cell_sets().values, "x1").shape == (2, 5, 12)


def test_they_are_the_closed_forms_of_the_runs_programs_that_have_enough_members(made):
    programs = {"file": ["g05", "x1", "x2", "x3"], "pattern": ["g00", "g01", "g02"]}
    expected = planted_models(genes=CARD["genes"], perturbations=NAMES, control="ctrl", cells=cell_sets(),
                              programs=programs, panels={"panel": PANEL}, seed=3, d=2.0,
                              expressed=set(GENES) - {"g09"})  # fmt: skip
    models = made()
    for kind, model in expected.items():
        for mine, theirs in zip(models[kind].parts, model.parts, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    assert models["planted"].card["d"] == 2.0


def test_a_panel_of_a_program_with_too_few_members_is_no_fault(made):
    few = {"panel": PANEL, "other": {**PANEL, "program": "few"}}
    for mine, theirs in zip(made(panels=few)["planted"].parts, made()["planted"].parts, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_their_strength_and_seed_are_those_of_the_config(made):
    assert made(planted={"d": 3.5})["lookup"].card["d"] == 3.5
    codes = [made(planted={"d": d})["planted"].parts.codes for d in (2.0, 2.0, 3.5)]
    torch.testing.assert_close(codes[0], codes[1], rtol=0, atol=0)
    assert not torch.equal(codes[0], codes[2])


def test_the_mean_shift_adds_what_was_observed_and_nothing_where_nothing_was(made):
    model, cells = made()["additive"], cell_sets().values
    shift = {name: (model.predict(cells, name) - torch.as_tensor(cells)).mean((0, 1)).numpy() for name in ("x1", "x2")}
    np.testing.assert_allclose(shift["x1"], np.arange(24, 36)[::-1], rtol=1e-5)  # in the model's order of genes
    np.testing.assert_allclose(shift["x2"], 0.0, atol=1e-6)
    assert (model.batches, model.set_size) == (("b0", "b1"), 5)


def test_the_mean_shift_is_left_out_where_it_is_not_wanted_or_cannot_be(made):
    assert "additive" not in made(additive=False)
    elsewhere = {**CARD, "output_genes": list(GENES[:6])}
    assert list(made(card=elsewhere)) == ["planted", "lookup", "covariation"]


def test_models_of_two_contexts_have_one_graph(made):
    """A gene that acts in one context only would make the planted models of a pair disagree."""
    elsewhere = cell_sets(seed=5, silent=["g09"], context="there")
    here, there = (made(cells=cells, contexts=(cell_sets(), elsewhere)) for cells in (cell_sets(), elsewhere))
    for part in ("linear", "sources", "effects", "codes"):
        mine, theirs = (getattr(each["planted"].parts, part) for each in (here, there))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    acting = here["planted"].parts.sources[GENES.index("g09")], here["planted"].parts.effects[:, GENES.index("g09")]
    assert not any(each.any() for each in acting)
    assert not torch.equal(here["lookup"].parts.linear, there["lookup"].parts.linear)


def test_a_context_in_another_space_says_nothing_of_what_is_expressed(made):
    embedded = cell_sets(genes=("X_emb_0", "X_emb_1"))
    alone, beside = (made(contexts=each)["planted"].parts for each in ((cell_sets(),), (cell_sets(), embedded)))
    for mine, theirs in zip(alone, beside, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_models_of_known_kind_stand_behind_planted_ones_whose_lookup_is_kept(made, tmp_path):
    planted, table = made(), pd.DataFrame(0.0, index=CARD["perturbations"], columns=GENES)
    controls = cell_sets().values.reshape(-1, len(GENES))
    kinds = ["lookup", "covariation_pca"]
    known = known_models(controls, table, None, context="c", seed=0, kinds=kinds, control="ctrl")
    write_known(known, tmp_path / "known.safetensors")
    both = with_known(planted, tmp_path / "known.safetensors")
    assert list(both) == [*planted, "covariation_pca"]
    assert both["lookup"] is planted["lookup"]
    assert list(with_known({}, tmp_path / "known.safetensors")) == kinds
    assert with_known(planted, None) == planted
