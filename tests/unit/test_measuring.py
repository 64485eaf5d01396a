"""From a request to a measurement: labels, shards, files."""

import json

import anndata as ad
import numpy as np
import pytest
import torch
import xarray as xr
from tiny import GENES, PERTURBATIONS, MeanShift, cell_sets, profiles, random_state, to_measure

from pertprobe.measuring import (
    NOT_EVALUABLE,
    cells_for,
    gather,
    measure_shard,
    read_measurement,
    write_measurement,
    write_space,
)
from pertprobe.probes import described, load_probe
from pertprobe.probes.base import dataset
from pertprobe.sae import SparseAutoencoder

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
    "sae_features": {"activation": {"set": 2, "perturbation": 9, "feature": 24}},
    "targeted_jacobian": {
        "jacobian": {"set": 2, "perturbation": 9, "feature": 24},  # the panel's genes and their stand-ins
        "open": {"set": 2, "perturbation": 9, "gene": 6},
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


def test_more_shards_than_units_are_empty_and_do_no_harm(wide_model):
    inputs = request_of("delta_y", wide_model)
    shards = [measure_shard("delta_y", inputs, i, 12) for i in range(12)]
    assert "empty" in shards[-1].attrs
    xr.testing.assert_identical(gather(shards), measure_shard("delta_y", inputs, 0, 1))


def test_nothing_to_measure_is_not_evaluable():
    assert "nothing to measure" in gather([xr.Dataset(attrs={"empty": "more shards than units"})]).attrs[NOT_EVALUABLE]


@pytest.mark.parametrize("probe", PROBES)
def test_a_model_that_lacks_something_is_not_evaluable_and_says_what(probe):
    class Mute(MeanShift):
        capabilities = frozenset()

    found = gather([measure_shard(probe, request_of(probe, Mute()), i, 2) for i in range(2)])
    needs = sorted(load_probe(probe).NEEDS)
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
def test_a_space_opens_in_anndata_with_its_names(tmp_path, probe, wide_model):
    found = measure_shard(probe, request_of(probe, wide_model), 0, 1)
    space = load_probe(probe).SPACE
    write_space(found, space, tmp_path / "s.h5ad")
    again = ad.read_h5ad(tmp_path / "s.h5ad")
    values = found[space[1]].sel(variant="subject")
    values = values.mean("set") if "set" in values.dims else values
    np.testing.assert_allclose(again.X, values.values, rtol=1e-5, atol=1e-6)
    assert again.obs_names.tolist() == found.perturbation.values.tolist()
    assert again.var_names.tolist() == found[space[2]].values.tolist()
    assert again.uns["variant"] == "subject"


def test_a_space_that_was_not_measured_is_empty_and_says_why(tmp_path):
    write_space(xr.Dataset(attrs={NOT_EVALUABLE: "model has no stages"}), ("s", "v", "feature"), tmp_path / "s.h5ad")
    again = ad.read_h5ad(tmp_path / "s.h5ad")
    assert again.shape == (0, 0)
    assert again.uns[NOT_EVALUABLE] == "model has no stages"


def test_cells_come_in_the_models_order_of_genes(tmp_path):
    cell_sets(genes=GENES[::-1]).write(tmp_path / "cells.h5ad")
    found = cells_for(MeanShift(), tmp_path / "cells.h5ad")
    assert found.genes == GENES
    np.testing.assert_array_equal(found.values, cell_sets(genes=GENES[::-1]).values[..., ::-1])


def test_probes_are_described_by_what_they_declare():
    known = described(["pert_embedding", "knockout", "targeted_jacobian", "sae_features"])
    assert {name: each["unit"] for name, each in known.items()} == {
        "pert_embedding": "perturbation",
        "knockout": "gene",
        "targeted_jacobian": "panel",
        "sae_features": "perturbation",
    }
    assert {each["level"] for each in known.values()} == {"representation", "causal"}
    assert known["targeted_jacobian"]["needs"] == {"stages", "gradient", "gene_space", "set_function"}


def test_names_longer_than_those_of_the_first_shard_are_not_cut(tmp_path):
    names = [["ab", "c"], ["a much longer name", "d"]]
    for shard, each in enumerate(names):
        values = xr.DataArray([1.0, 2.0], dims="perturbation", coords={"perturbation": each})
        write_measurement(dataset(values=values), tmp_path / f"{shard}.nc")
    write_measurement(gather([read_measurement(tmp_path / f"{i}.nc") for i in (0, 1)]), tmp_path / "all.nc")
    assert read_measurement(tmp_path / "all.nc").perturbation.values.tolist() == sorted(names[0] + names[1])
