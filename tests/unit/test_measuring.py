"""From a request to a measurement: labels, shards, files."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from tiny import GENES, PERTURBATIONS, MeanShift, cell_sets, profiles, random_state, to_measure

from pertprobe.data.cell_sets import cells_for
from pertprobe.data.programs import Programs
from pertprobe.interpret.knockouts import knocked_out
from pertprobe.interpret.sae import SparseAutoencoder
from pertprobe.models.additive import AdditiveModel
from pertprobe.models.base import encode_each
from pertprobe.models.planted.closed_form import planted_models
from pertprobe.models.randomised import STAGES_FROM_OUTPUT, randomised_controls
from pertprobe.probes import load_probe
from pertprobe.probes.base import NOT_EVALUABLE, itself
from pertprobe.probes.declaration import declared
from pertprobe.roles import PLANTED, SUBJECT
from pertprobe.stages.measuring import (
    COPIES_NOTE,
    gather,
    measure_derived,
    measure_shard,
    read_measurement,
    write_measurement,
)
from pertprobe.stages.spaces import Known, space_of

NAMES = sorted(set(PERTURBATIONS) - {"ctrl"})
PANELS = {"one": {"regulators": ["g00", "g01", "absent"], "targets": ["g01", "g05", "g08"]}}
SETTINGS = {
    "delta_y": {},
    "pert_embedding": {"neighbours": 2},
    "sae_features": {},
    "targeted_jacobian": {"at": "mean_cell", "derivative": "total", "panels": "all"},
    "knockout": {"genes": 7, "by": "expression", "value": "zero", "perturbation": "control"},
}
PROBES = list(SETTINGS)
SHAPES = {
    "delta_y": {"delta_y": {"set": 2, "perturbation": 9, "gene": 12}},
    "pert_embedding": {"embedding": {"perturbation": 9, "feature": 64}},
    "sae_features": {
        "activation": {"set": 2, "perturbation": 9, "feature": 24},
        "hidden": {"set": 2, "perturbation": 9, "dimension": 64},
    },
    "targeted_jacobian": {
        "jacobian": {"set": 2, "perturbation": 9, "feature": 24},  # the panel's genes and their stand-ins
        "open": {"set": 2, "perturbation": 9, "gene": 6},
        "gain": {"set": 2, "perturbation": 9, "gene": 6},
    },
    "knockout": {"shift": {"set": 2, "perturbation": 7, "gene": 12}},
}


def random_sae(width=64, features=24):
    generator = torch.Generator().manual_seed(0)
    shapes = [(width, features), (features,), (features, width), (width,)]
    return SparseAutoencoder(*(torch.randn(shape, generator=generator) for shape in shapes), k=4)


@pytest.fixture(scope="module")
def wide_model():
    """A float32 model wide enough that a product's last bit depends on how many rows go through it together."""
    return random_state(dtype=torch.float32, spread=0.1, hidden_dim=64, head_dim=32, intermediate_dim=96)


def request_of(probe, model, **more):
    cells = cell_sets()
    given = {"settings": SETTINGS[probe], "panels": PANELS, "sae": random_sae(), "contexts": (cells,)}
    return to_measure(model, cells, **{**given, **more})


@pytest.mark.parametrize("probe", PROBES)
def test_a_measurement_has_the_documented_dimensions_and_labels(probe, wide_model):
    found = measure_shard(probe, request_of(probe, wide_model), 0, 1)
    assert {name: dict(found[name].sel(variant="subject").sizes) for name in found} == SHAPES[probe]
    assert found.variant.values.tolist() == ["subject"]
    names = found.perturbation.values.tolist()
    assert names == sorted(names)
    assert set(names) <= set(GENES) if probe == "knockout" else names == NAMES
    assert all(np.isfinite(found[name]).all() for name in found)


def test_features_are_named(wide_model):
    jacobian = measure_shard("targeted_jacobian", request_of("targeted_jacobian", wide_model), 0, 1)
    controls = json.loads(jacobian.attrs["control_pairs"])["one"]
    regulators = sorted(["g00", "g01", *controls["regulators"]])
    targets = sorted(["g01", "g05", "g08", *controls["targets"]])
    assert jacobian.feature.values.tolist() == [f"{a}>{b}" for b in targets for a in regulators]
    assert jacobian["open"].gene.values.tolist() == targets
    shift = measure_shard("delta_y", request_of("delta_y", wide_model), 0, 1)
    assert shift.gene.values.tolist() == list(GENES)
    codes = measure_shard("pert_embedding", request_of("pert_embedding", wide_model), 0, 1)
    assert codes.feature.values[:2].tolist() == ["h0", "h1"]


@pytest.mark.parametrize("probe", PROBES)
def test_numbers_do_not_depend_on_the_number_of_shards(probe, wide_model):
    inputs = request_of(probe, wide_model)
    whole, *cut = (gather([measure_shard(probe, inputs, i, n) for i in range(n)]) for n in (1, 2, 5))
    for other in cut:
        xr.testing.assert_identical(other, whole)


COPIED = {"redrawn": 2, "cascade": True, "seed": 3}
VARIANTS = ["subject", "redrawn_1", "shuffled_1", "redrawn_2", "shuffled_2"]
CASCADES = [f"cascade_{stage}" for stage in STAGES_FROM_OUTPUT]


@pytest.mark.parametrize("probe", PROBES)
def test_copies_stand_beside_the_model_on_the_axis_variant(probe, wide_model):
    inputs = request_of(probe, wide_model)
    found = measure_shard(probe, inputs, 0, 1, **COPIED)
    assert found.variant.values.tolist() == [*VARIANTS, *CASCADES]
    assert found.attrs[COPIES_NOTE] == ""
    alone = measure_shard(probe, inputs, 0, 1)
    assert COPIES_NOTE not in alone.attrs
    for name in alone:
        own = found[name].sel(variant="subject") if "variant" in found[name].dims else found[name]
        np.testing.assert_array_equal(own, alone[name].sel(variant="subject"))
    without_cascade = measure_shard(probe, inputs, 0, 1, redrawn=1)
    assert without_cascade.variant.values.tolist() == VARIANTS[:3]


@pytest.mark.parametrize("probe", PROBES)
def test_every_copy_is_measured_as_if_it_were_the_model(probe, wide_model):
    module, inputs = load_probe(probe), request_of(probe, wide_model)
    found = measure_shard(probe, inputs, 0, 1, **COPIED)
    made = dict(randomised_controls(wide_model, 2, declared(probe).keep, 3, cascade=True))
    names = sorted(module.units(inputs))
    for variant in ("redrawn_2", "shuffled_1", "cascade_mix"):
        with torch.no_grad():
            alone = module.measure(request_of(probe, made[variant], sae=None), names)
        for name in alone:
            np.testing.assert_array_equal(found[name].sel(variant=variant), alone[name])


def test_only_the_model_has_sparse_features_of_its_own(wide_model):
    found = measure_shard("sae_features", request_of("sae_features", wide_model), 0, 1, **COPIED)
    assert "variant" not in found["activation"].dims
    assert found["hidden"].dims[0] == "variant"
    alone = measure_shard("sae_features", request_of("sae_features", wide_model), 0, 1)
    np.testing.assert_array_equal(found["activation"], alone["activation"].sel(variant="subject"))


def test_copies_of_the_jacobian_keep_the_trained_encoders_and_those_of_codes_nothing(wide_model):
    kept = dict(randomised_controls(wide_model, 1, declared("targeted_jacobian").keep, 3))["redrawn_1"]
    torch.testing.assert_close(encode_each(kept, NAMES), encode_each(wide_model, NAMES), rtol=0, atol=0)
    codes = measure_shard("pert_embedding", request_of("pert_embedding", wide_model), 0, 1, **COPIED)["embedding"]
    for variant in VARIANTS[1:]:
        assert not np.allclose(codes.sel(variant=variant), codes.sel(variant="subject"))
    for stage in STAGES_FROM_OUTPUT[:3]:  # the codes are the last to be drawn again
        np.testing.assert_array_equal(codes.sel(variant=f"cascade_{stage}"), codes.sel(variant="subject"))
    np.testing.assert_array_equal(codes.sel(variant="cascade_encode_perturbations"), codes.sel(variant="redrawn_1"))


def test_copies_depend_on_the_seed_and_on_nothing_of_the_model(wide_model):
    inputs, other = (request_of("pert_embedding", model) for model in (wide_model, random_state(
        seed=9, dtype=torch.float32, spread=0.1, hidden_dim=64, head_dim=32, intermediate_dim=96)))  # fmt: skip
    codes = [measure_shard("pert_embedding", each, 0, 1, redrawn=1, seed=seed)["embedding"].sel(variant="redrawn_1")
             for each, seed in ((inputs, 0), (other, 0), (inputs, 1))]  # fmt: skip
    np.testing.assert_array_equal(codes[0], codes[1])  # a pair's copies of one number share their seed
    assert not np.array_equal(codes[0], codes[2])


@pytest.mark.parametrize("probe", PROBES)
def test_numbers_of_copies_do_not_depend_on_the_number_of_shards(probe, wide_model):
    inputs = request_of(probe, wide_model)
    whole, cut = (gather([measure_shard(probe, inputs, i, n, **COPIED) for i in range(n)]) for n in (1, 4))
    xr.testing.assert_identical(cut, whole)


def test_a_model_without_copies_says_why():
    mean_shift = AdditiveModel({"x1": np.ones(len(GENES))}, genes=GENES, control="ctrl")
    for model, words in ((mean_shift, "the mean shift cannot be re-drawn"), (MeanShift(), "it has no redraw")):
        found = measure_shard("delta_y", request_of("delta_y", model), 0, 1, redrawn=2)
        assert found.variant.values.tolist() == ["subject"]
        assert found.attrs[COPIES_NOTE].startswith("no architecture null: ")
        assert words in found.attrs[COPIES_NOTE]


def test_a_model_whose_weights_cannot_be_shuffled_has_the_other_copies_alone_and_says_why():
    class Redrawn(MeanShift):
        capabilities = MeanShift.capabilities | {"redraw"}

        def redraw(self, seed, keep=()):
            return Redrawn(seed)

    found = measure_shard("pert_embedding", request_of("pert_embedding", Redrawn()), 0, 1, redrawn=2, cascade=True)
    assert found.variant.values.tolist() == ["subject", "redrawn_1", "redrawn_2"]
    assert found.attrs[COPIES_NOTE].startswith("no shuffled copies: model's weights cannot be shuffled")


def test_gather_keeps_what_is_said_of_copies(wide_model):
    shards = [measure_shard("pert_embedding", request_of("pert_embedding", MeanShift()), i, 12, redrawn=1)
              for i in range(12)]  # fmt: skip
    assert gather(shards).attrs[COPIES_NOTE].startswith("no architecture null")


def derived(**more):
    """Return the planted models of small.py's names beside a mean shift."""
    found = planted_models(
        genes=GENES, perturbations=NAMES, control="ctrl", cells=cell_sets(), programs={"P": GENES[:3]}, **more
    )
    return {**found, "additive": AdditiveModel(dict.fromkeys(NAMES, np.ones(12)), genes=GENES, control="ctrl")}


@pytest.mark.parametrize("probe", PROBES)
def test_models_planted_beside_a_model_are_measured_with_its_units(probe):
    models, module = derived(), load_probe(probe)
    found = measure_derived(probe, request_of(probe, None), models)
    models = module.plant(request_of(probe, None), models) if hasattr(module, "plant") else models
    able = [kind for kind in models if not declared(probe).needs - models[kind].capabilities]
    assert found.variant.values.tolist() == able
    assert set(able) <= set(PLANTED)
    assert ("additive" in able) == (probe in ("delta_y", "knockout"))
    subject = measure_shard(probe, request_of(probe, random_state(dtype=torch.float32), sae=None), 0, 1)
    assert found.perturbation.values.tolist() == subject.perturbation.values.tolist()
    assert "activation" not in found
    assert all(np.isfinite(found[name]).all() for name in found)
    for kind in able:
        inputs = request_of(probe, models[kind], sae=None)
        with torch.no_grad():
            alone = load_probe(probe).measure(inputs, sorted(load_probe(probe).units(inputs)))
        for name in alone:
            np.testing.assert_array_equal(found[name].sel(variant=kind), alone[name])


def test_where_no_planted_model_can_be_asked_that_is_said():
    models = {"additive": derived()["additive"]}
    found = measure_derived("pert_embedding", request_of("pert_embedding", None), models)
    assert found.attrs[NOT_EVALUABLE] == "no model that stands beside this one has what the probe needs"
    assert not found.data_vars


def test_knockouts_of_planted_models_are_differences_of_predictions():
    models, values = derived(), cell_sets().values
    found = measure_derived("knockout", request_of("knockout", None), models)["shift"]
    for kind in ("planted", "lookup", "covariation"):
        for gene in found.perturbation.values:
            edited = knocked_out(values, GENES.index(gene), "zero")
            exact = (models[kind].predict(edited, "ctrl") - models[kind].predict(values, "ctrl")).mean(1)
            np.testing.assert_allclose(found.sel(variant=kind, perturbation=gene), exact, atol=1e-5)


def test_more_shards_than_units_are_empty_and_do_no_harm(wide_model):
    inputs = request_of("delta_y", wide_model)
    shards = [measure_shard("delta_y", inputs, i, 12) for i in range(12)]
    assert "empty" in shards[-1].attrs
    xr.testing.assert_identical(gather(shards), measure_shard("delta_y", inputs, 0, 1))


def test_nothing_to_measure_is_not_evaluable(monkeypatch, wide_model):
    monkeypatch.setattr("pertprobe.probes.delta_y.units", lambda inputs: [])
    assert (
        measure_shard("delta_y", request_of("delta_y", wide_model), 0, 1).attrs[NOT_EVALUABLE] == "nothing to measure"
    )


@pytest.mark.parametrize("probe", PROBES)
def test_a_model_that_lacks_something_is_not_evaluable_and_says_what(probe):
    class Mute(MeanShift):
        capabilities = frozenset()

    found = gather([measure_shard(probe, request_of(probe, Mute()), i, 2) for i in range(2)])
    needs = sorted(declared(probe).needs)
    assert found.attrs[NOT_EVALUABLE] == f"model has no {' and no '.join(needs)}"
    assert not found.data_vars


def test_gather_refuses_shards_with_other_coordinates():
    first, second = (
        profiles("delta_y", np.ones((1, 2)), [name], ["g00", gene], feature="gene")
        for name, gene in (("x1", "g01"), ("x2", "g02"))
    )
    with pytest.raises(ValueError, match="exact"):
        gather([first, second])


def test_gather_refuses_shards_measured_differently():
    first, second = (profiles("v", np.ones((1, 2)), [name], ["a", "b"], batch=name) for name in ("x1", "x2"))
    with pytest.raises(xr.MergeError):
        gather([first, second])


def test_of_a_measurement_only_what_is_asked_for_is_read(tmp_path):
    copies, shape = [SUBJECT, *(f"redrawn_{i}" for i in range(11))], (12, 2, 100, 1000)
    values = xr.DataArray(np.random.default_rng(0).normal(size=shape), dims=("variant", "set", "perturbation", "gene"))
    write_measurement(xr.Dataset({"v": values.assign_coords(variant=copies)}), tmp_path / "m.nc")
    tracemalloc.start()
    found = itself(read_measurement(tmp_path / "m.nc"))["v"].values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, values[0])
    assert peak < 3 * found.nbytes  # of twelve


def test_a_measurement_reads_back_the_same(tmp_path, wide_model):
    found = measure_shard("targeted_jacobian", request_of("targeted_jacobian", wide_model), 0, 1)
    write_measurement(found, tmp_path / "m.nc")
    again = read_measurement(tmp_path / "m.nc")
    xr.testing.assert_equal(again, found)
    assert again.attrs == found.attrs
    refused = xr.Dataset(attrs={NOT_EVALUABLE: "model has no stages"})
    write_measurement(refused, tmp_path / "r.nc")
    assert read_measurement(tmp_path / "r.nc").attrs == refused.attrs


@pytest.mark.parametrize("probe", ["delta_y", "pert_embedding", "sae_features", "knockout"])
def test_a_space_holds_the_mean_of_what_was_measured(probe, wide_model):
    found = measure_shard(probe, request_of(probe, wide_model), 0, 1)
    space, nothing = declared(probe).space_at("middle"), pd.Series(dtype=float)
    who = {"model": "m", "regime": "unknown", "context": "line"}
    made = space_of(found, space, Known(who, Programs({}), *[nothing] * 4, pd.DataFrame(), pd.DataFrame()))
    values = found[space["variable"]].sel(variant="subject")
    values = values.mean("set") if "set" in values.dims else values
    np.testing.assert_allclose(made.X, values.values, rtol=1e-5, atol=1e-6)
    assert made.obs_names.tolist() == found.perturbation.values.tolist()
    assert made.var_names.tolist() == found[space["feature"]].values.tolist()


def test_cells_come_in_the_models_order_of_genes(tmp_path):
    cell_sets(genes=GENES[::-1]).write(tmp_path / "cells.h5ad")
    found = cells_for(MeanShift(), tmp_path / "cells.h5ad")
    assert found.genes == GENES
    np.testing.assert_array_equal(found.values, cell_sets(genes=GENES[::-1]).values[..., ::-1])
