"""Probes that test what another measures, and the tables that probes make beside their evidence."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tiny import cell_sets, profiles, random_state, subject, to_measure

from pertprobe.data.programs import Programs
from pertprobe.files import write_table
from pertprobe.probes import load_probe
from pertprobe.probes.base import TableInputs, stacked
from pertprobe.probes.declaration import all_declared, declared
from pertprobe.probes.delta_y import strength
from pertprobe.stages.measuring import measure_shard, read_subject, write_measurement
from pertprobe.stages.tables import read_table_inputs, write_tables

BORROWED = {name: each.measured_by for name, each in all_declared().items() if each.measured_by}
"""Probe -> the one whose measurement it tests."""


def test_a_probe_that_tests_what_another_measures_measures_nothing_itself():
    assert {"output_clustering", "regime_agreement", "conserved_features"} <= set(BORROWED)
    measuring = {*BORROWED.values(), *all_declared()} - set(BORROWED)
    assert [name for name in BORROWED if hasattr(load_probe(name), "measure")] == []
    assert [name for name in measuring if not hasattr(load_probe(name), "measure")] == []


@pytest.mark.parametrize("probe", BORROWED)
def test_a_probe_needs_what_its_measurement_needs(probe):
    assert declared(probe).needs == declared(BORROWED[probe]).needs


def test_only_the_model_itself_is_read_where_its_copies_are_not_asked(tmp_path):
    found = measure_shard("delta_y", to_measure(random_state(), cell_sets()), 0, 1, redrawn=2)
    write_measurement(found.assign(other=("x", [1.0])), tmp_path / "m.nc")
    mine = read_subject(tmp_path / "m.nc", "delta_y")
    assert list(mine.data_vars) == ["delta_y"]
    assert mine.variant.values.tolist() == ["subject"]
    assert set(read_subject(tmp_path / "m.nc").data_vars) == {"delta_y", "other"}
    pd.testing.assert_series_equal(strength(mine), strength(found))
    write_measurement(xr.Dataset(attrs={"not_evaluable": "why"}), tmp_path / "n.nc")
    assert read_subject(tmp_path / "n.nc", "delta_y").attrs == {"not_evaluable": "why"}


def written(tmp_path):
    """Write what two models' tables are made of; return the input and params of their rule."""
    names, genes = [f"p{i}" for i in range(9)], [f"g{i}" for i in range(6)]
    for number, model in enumerate("ab"):
        values = np.random.default_rng(number).normal(size=(9, 6))
        write_measurement(profiles("delta_y", values, names, genes, feature="gene"), tmp_path / f"{model}.nc")
        write_table(pd.DataFrame({"perturbation": names, "seen": "here"}), tmp_path / f"{model}.tsv")
    (tmp_path / "p.gmt").write_text("P\t\tp0\tp1\tp2\n")
    settings = {"min_perturbations": 3, "patterns": {}, "lists": {}, "min_genes": 3}
    measured, seen = ([tmp_path / f"{model}.{suffix}" for model in "ab"] for suffix in ("nc", "tsv"))
    files = {"measurements": measured, "delta_y": measured, "seen": seen, "programs": [tmp_path / "p.gmt"]}
    files = SimpleNamespace(**files, get=lambda _: None)
    question = {"settings": {"clusters": 3, "umap": False}, "programs": settings, "seed": 5}
    return files, SimpleNamespace(models=["a", "b"], pairs=[["a", "b"]], question=question)


def test_tables_are_made_of_all_models_and_written_by_name(tmp_path):
    inputs = read_table_inputs(*written(tmp_path))
    assert list(inputs.subjects) == ["a", "b"]
    assert inputs.pairs == [("a", "b")]
    assert list(inputs.programs["P"]) == ["p0", "p1", "p2"]
    assert (inputs.seed, inputs.features, inputs.subjects["a"].seen["p3"]) == (5, None, "here")
    write_tables("output_clustering", inputs, [tmp_path / "clusters.tsv", tmp_path / "enrichment.tsv"])
    assert len(pd.read_csv(tmp_path / "clusters.tsv", sep="\t")) == 18
    assert set(pd.read_csv(tmp_path / "enrichment.tsv", sep="\t").program) == {"P"}
    with pytest.raises(ValueError, match="zip"):
        write_tables("output_clustering", inputs, [tmp_path / "clusters.tsv"])


def test_no_tables_below_each_other_are_a_table_without_rows():
    assert list(stacked([], ["a", "b"]).columns) == ["a", "b"]
    assert stacked([pd.DataFrame({"b": [1], "a": [2], "c": [3]})], ["a", "b"]).to_dict("list") == {"a": [2], "b": [1]}


def test_draws_of_tables_go_by_names_and_the_seed():
    inputs = [TableInputs({"m": subject(xr.Dataset())}, Programs({}), {}, seed=seed) for seed in (1, 1, 2)]
    drawn = [each.random("what", "m").random() for each in inputs]
    assert drawn[0] == drawn[1] != drawn[2]
