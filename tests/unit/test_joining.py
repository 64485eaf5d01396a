"""Shards joined in a file are those joined in memory, and never lie in memory together."""

import numpy as np
import pytest
import xarray as xr
from tiny import profiles, random_state, to_measure

from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.stages import joining
from pertprobe.stages.joining import join_shards
from pertprobe.stages.measuring import gather, measure_shard, read_measurement, write_measurement

KNOCKED = {"genes": "all", "value": "zero", "perturbation": "control"}
PANELS = {"one": {"regulators": ["g00", "g01"], "targets": ["g01", "g05", "g08"]}}
SETTINGS = {
    "delta_y": {},
    "pert_embedding": {"neighbours": 2},
    "knockout": KNOCKED,
    "targeted_jacobian": {"at": "mean_cell", "derivative": "total"},
}


def written(folder, shards):
    paths = [folder / f"{i}.nc" for i in range(len(shards))]
    for shard, path in zip(shards, paths, strict=True):
        write_measurement(shard, path)
    return paths


def joined(folder, shards):
    paths = written(folder, shards)
    join_shards(paths, folder / "all.nc")
    return read_measurement(folder / "all.nc")


def blocks(n, rows=8, width=200):
    """One measurement in n shards of so many units, dealt out in turn."""
    rng = np.random.default_rng(0)
    names = [[f"p{i * n + shard:05d}" for i in range(rows)] for shard in range(n)]
    return [profiles("v", rng.normal(size=(rows, width)), each, range(width), feature="gene") for each in names]


@pytest.mark.parametrize("n", [2, 3, 12])
@pytest.mark.parametrize("probe", SETTINGS)
def test_the_file_holds_what_is_gathered_in_memory(tmp_path, probe, n):
    inputs = to_measure(random_state(), settings=SETTINGS[probe], panels=PANELS)
    shards = [measure_shard(probe, inputs, i, n, redrawn=1, seed=2) for i in range(n)]
    xr.testing.assert_identical(joined(tmp_path, shards), gather(shards))


def test_units_that_shards_hold_in_turn_come_in_order(tmp_path):
    shards = blocks(5)
    found = joined(tmp_path, shards)
    assert found.perturbation.values.tolist() == sorted(found.perturbation.values)
    xr.testing.assert_identical(found, gather(shards))


def test_no_more_than_one_shard_is_in_memory(tmp_path, monkeypatch):
    alive, seen = set(), []
    real = joining._stream

    def watched(name, shards, path):
        for shard in shards:
            alive.add(shard[name].variable._in_memory)
        seen.append(name)
        real(name, shards, path)
        assert not any(shard[name].variable._in_memory for shard in shards)

    monkeypatch.setattr(joining, "_stream", watched)
    joined(tmp_path, blocks(4))
    assert seen == ["v"]
    assert alive == {False}


def test_a_refusal_is_the_answer(tmp_path):
    shards = [xr.Dataset(attrs={NOT_EVALUABLE: "model has no stages"}), *blocks(1)]
    assert joined(tmp_path, shards).attrs == {NOT_EVALUABLE: "model has no stages"}


def test_names_longer_than_those_of_the_first_shard_are_not_cut(tmp_path):
    names = [["ab", "c"], ["a much longer name", "d"]]
    shards = [xr.Dataset({"v": ("perturbation", [1.0, 2.0])}, {"perturbation": each}) for each in names]
    assert joined(tmp_path, shards).perturbation.values.tolist() == sorted(names[0] + names[1])


@pytest.mark.parametrize(
    ("second", "fault"),
    [({"features": ["a", "c"]}, ValueError), ({"features": ["a", "b"], "batch": "other"}, xr.MergeError)],
)
def test_shards_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, second, fault):
    features = second.pop("features")
    shards = [
        profiles("v", np.ones((1, 2)), ["x1"], ["a", "b"]),
        profiles("v", np.ones((1, 2)), ["x2"], features, **second),
    ]
    with pytest.raises(fault):
        join_shards(written(tmp_path, shards), tmp_path / "all.nc")
    assert not (tmp_path / "all.nc").exists()
