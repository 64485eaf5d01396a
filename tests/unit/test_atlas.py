"""The atlas: what is read of it is the slow, whole Jacobian at the mean cell, however it was written."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from slow_jacobian import STATES, copies_of_the_mean, total, whole
from tiny import GENES, PERTURBATIONS, SIZES, MeanShift, cell_sets, random_state
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pertprobe.errors import Faults, PertprobeError
from pertprobe.interpret.atlas import join_atlases, open_atlas, write_atlas, writing
from pertprobe.interpret.jacobian import jacobian_cores
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.initialise import initial_parameters
from pertprobe.models.state.model import StateModel

NAMES = sorted(PERTURBATIONS)


def one_batch():
    """Return the tiny cells, all of the second batch: that of the mean cell of `slow_jacobian`."""
    cells = cell_sets()
    cells.batches[:] = "b1"
    return cells


def joined(cells):
    """Return the mean over sets of cells, as one set: its mean is that of all cells, and stands for those of a set."""
    return SimpleNamespace(values=cells.values.mean(0, keepdims=True, dtype=np.float64), batches=cells.batches[:1])


def slow(model, names, cells=None):
    """Return the total derivative at S copies of the mean cell [P, G_out, G], by autograd alone."""
    point = copies_of_the_mean(model, joined(cells or one_batch()))
    return total(whole(model, model.encode_perturbations(names), point))[:, 0].numpy()


def written(path, model=None, cells=None, **more):
    write_atlas(model or random_state(), cells or one_batch(), path, **{"dtype": "float64", **more})
    return open_atlas(path)


def close(found, wanted, tolerance=1e-9):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def wide(n, dtype=torch.float32):
    """Return a State model of n perturbations, whose weights are as large whatever n is."""
    architecture = StateArchitecture(**{**SIZES, "batch_encoder": True, "batch_dim": 2})
    names = [f"p{i:03d}" for i in range(n)]
    return StateModel(
        architecture,
        {name: each.to(dtype) for name, each in initial_parameters(architecture, 0).items()},
        genes=GENES,
        output_genes=GENES,
        perturbations=names,
        perturbation_features=torch.randn(n, SIZES["pert_dim"], generator=torch.Generator().manual_seed(0)),
        control=names[-1],
        batches=("b0", "b1"),
    )


def bytes_of(folder):
    """Return file -> hash of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    return written(tmp_path_factory.mktemp("atlas") / "a.zarr")


@pytest.fixture(scope="module")
def everything():
    return slow(random_state(), NAMES)


@pytest.mark.parametrize("kind", STATES)
def test_entries_are_those_of_the_slow_jacobian_at_copies_of_the_mean_cell(kind, tmp_path):
    model = random_state(**STATES[kind])
    wanted = slow(model, NAMES)
    found = written(tmp_path / "a.zarr", model).entries()
    assert found.dims == ("perturbation", "target", "regulator")
    assert found.perturbation.values.tolist() == NAMES
    assert found.target.values.tolist() == found.regulator.values.tolist() == list(GENES)
    close(found.values, wanted)
    close(written(tmp_path / "b.zarr", model, dtype="float32").entries().values, wanted, 1e-6)


def test_outputs_that_are_closed_under_a_perturbation_have_no_derivative(atlas, everything):
    closed = (everything == 0).all(-1)
    assert closed.any(1).any()
    assert not closed.all(1).any()
    assert len(np.unique(closed, axis=0)) > 1
    np.testing.assert_array_equal((atlas.entries().values == 0).all(-1), closed)


def test_a_float32_model_is_that_of_float64_but_for_rounding(tmp_path):
    found = written(tmp_path / "a.zarr", random_state(dtype=torch.float32), dtype="float32").entries()
    assert found.dtype == np.float32
    close(found.values, slow(random_state(), NAMES), 1e-4)


def test_the_diagonal_derivative_moves_one_copy_and_reads_its_own_output(tmp_path):
    model, cells = random_state(), one_batch()
    point = copies_of_the_mean(model, joined(cells))
    pairs = whole(model, model.encode_perturbations(NAMES[:3]), point)
    found = written(tmp_path / "a.zarr", model, perturbations=NAMES[:3], derivative="diagonal")
    close(found.entries().values, pairs[:, 0, 0, :, 0].numpy())
    assert found.attributes["derivative"] == "diagonal"


def test_the_mean_cell_is_that_of_all_sets_and_of_the_commonest_batch(tmp_path):
    cells = cell_sets(n_sets=3)
    cells.batches[:] = "b0"
    cells.batches[0, :3] = "b1"
    found = written(tmp_path / "a.zarr", cells=cells, perturbations=["x1"])
    same = one_batch()
    same.batches[:] = "b0"
    flat = np.tile(cells.values.reshape(-1, len(GENES)).mean(0, dtype=np.float64), (1, 5, 1)).astype(np.float64)
    object.__setattr__(same, "values", flat)
    other = written(tmp_path / "b.zarr", cells=same, perturbations=["x1"])
    close(found.entries().values, other.entries().values)
    about = {"batch": "b0", "context": "here", "n_sets": 3, "set_size": 5, "control": "ctrl"}
    assert {name: found.attributes[name] for name in about} == about


SLICES = (
    {"perturbations": ["x2", "g00"]},
    {"targets": ["g07", "g01", "g02"], "regulators": ["g11"]},
    {"perturbations": ["x3", "ctrl", "g01"], "targets": ["g00"], "regulators": ["g05", "g03"]},
    {"perturbations": "x1", "regulators": "g04"},
    {"targets": "g04"},
)


@pytest.mark.parametrize("asked", SLICES, ids=str)
def test_slices_are_those_of_the_whole(atlas, everything, asked):
    axes = {"perturbation": NAMES, "target": list(GENES), "regulator": list(GENES)}
    every = xr.DataArray(everything, axes, tuple(axes))
    names = {name[:-1]: [each] if isinstance(each, str) else each for name, each in asked.items()}
    found = atlas.entries(**asked)
    wanted = every.sel(names)
    close(found.values, wanted.values)
    assert all(found[axis].values.tolist() == wanted[axis].values.tolist() for axis in axes)


def test_means_norms_and_cosines_are_those_of_the_whole(atlas, everything):
    names = ["x3", "g02", "ctrl"]
    chosen = everything[[NAMES.index(name) for name in names]]
    close(atlas.mean(names, ["g03", "g01"], ["g00"]).values, chosen.mean(0)[[3, 1]][:, [0]])
    close(atlas.mean().values, everything.mean(0))
    close(atlas.norms().values, np.linalg.norm(everything, axis=(1, 2)))
    close(atlas.norms(names).values, np.linalg.norm(chosen, axis=(1, 2)))
    unit = chosen.reshape(3, -1) / np.linalg.norm(chosen, axis=(1, 2))[:, None]
    found = atlas.cosines(names)
    close(found.values, unit @ unit.T)
    assert found.perturbation.values.tolist() == found.other.values.tolist() == names
    close(atlas.cosines(memory_gb=3e-5).sel(perturbation=names, other=names).values, unit @ unit.T)


def test_a_slice_that_does_not_fit_is_refused_with_what_to_ask_instead(atlas):
    with pytest.raises(PertprobeError, match=r"10 perturbations x 144 targets x regulators are 1\.15e-05 GB") as error:
        atlas.entries(memory_gb=4e-6)
    assert "Ask for at most 3 perturbations at a time" in str(error.value)
    assert atlas.entries(NAMES[:3], memory_gb=4e-6).shape == (3, 12, 12)
    with pytest.raises(PertprobeError, match="Ask for fewer genes"):
        atlas.entries("x1", memory_gb=1e-9)
    with pytest.raises(PertprobeError, match="10 perturbations x 256 numbers of its factors"):
        atlas.cosines(memory_gb=1e-6)


def test_unknown_names_come_together_with_what_may_have_been_meant(atlas):
    with pytest.raises(Faults) as error:
        atlas.entries(["x1", "CTRL", "nobody"])
    assert error.value.messages == (
        "atlas: 'CTRL' is no perturbation of it (ctrl, g00, g01, g02, g03, ... (10 in all)). Did you mean 'ctrl'?",
        "atlas: 'nobody' is no perturbation of it (ctrl, g00, g01, g02, g03, ... (10 in all)).",
    )
    for axis in ("target", "regulator"):
        with pytest.raises(Faults, match=f"'g12' is no {axis}"):
            atlas.entries(**{f"{axis}s": ["g12"]})
    with pytest.raises(PertprobeError, match="no perturbation is asked for"):
        atlas.norms([])


def test_what_is_no_atlas_is_told(tmp_path):
    with pytest.raises(PertprobeError, match="there is no directory"):
        open_atlas(tmp_path / "none.zarr")
    with pytest.raises(PertprobeError, match="holds no atlas"):
        open_atlas(tmp_path)
    import zarr

    zarr.create_group(tmp_path / "later.zarr", attributes={"pertprobe_atlas": 2})
    with pytest.raises(PertprobeError, match="holds an atlas of format 2, not 1"):
        open_atlas(tmp_path / "later.zarr")


def test_any_program_that_reads_zarr_finds_labelled_arrays(tmp_path):
    found = written(tmp_path / "a.zarr")
    opened = xr.open_zarr(tmp_path / "a.zarr", consolidated=False, chunks=None)
    assert opened["core"].sel(perturbation="x1").dims == ("last", "first")
    part = opened.sel(perturbation="x1", target=["g03"], regulator=["g05", "g00"])
    J = part["open"] * part["output_weight"].dot(part["core"], dim="last").dot(part["input_weight"], dim="first")
    close(J.transpose("target", "regulator").values, found.entries("x1", "g03", ["g05", "g00"]).values[0])


def test_perturbations_are_those_asked_for_and_control_is_the_models(tmp_path):
    assert written(tmp_path / "a.zarr", perturbations=["x2", "control", "x1", "x2"]).perturbations == (
        "ctrl",
        "x1",
        "x2",
    )
    with pytest.raises(Faults, match=r"'X1' is no perturbation of it.*Did you mean 'x1'"):
        written(tmp_path / "b.zarr", perturbations=["X1"])
    assert not (tmp_path / "b.zarr").exists()


def without(model, capability):
    found = type("Lacking", (), {"__getattr__": lambda _, name: getattr(model, name)})()
    found.capabilities = model.capabilities - {capability}
    return found


@pytest.mark.parametrize("capability", ["gene_space", "set_function"])
def test_models_that_have_no_atlas_are_refused_in_words(capability, tmp_path):
    with pytest.raises(PertprobeError, match=f"the model has no {capability}.*leave this model out of atlas.models"):
        written(tmp_path / "a.zarr", without(random_state(), capability))
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_factors_is_refused_in_words(tmp_path):
    with pytest.raises(PertprobeError, match=r"the model has no `linear_ends\(\)`.*leave it out of atlas.models"):
        written(tmp_path / "a.zarr", MeanShift(), cell_sets(batches=False))


@pytest.mark.parametrize("n_shards", [2, 3, 5])
def test_shards_joined_are_byte_for_byte_what_one_job_writes(n_shards, tmp_path):
    """Bit by bit, in float32; of five shards two are empty."""
    model = wide(19)
    once = written(tmp_path / "once.zarr", model, dtype="float32")
    paths = [tmp_path / f"{shard}.zarr" for shard in range(n_shards)]
    for shard, path in enumerate(paths):
        write_atlas(model, one_batch(), path, shard=shard, shards=n_shards)
    join_atlases(paths, tmp_path / "joined.zarr")
    assert bytes_of(tmp_path / "joined.zarr") == bytes_of(tmp_path / "once.zarr")
    assert once.perturbations == tuple(model.perturbations)


def test_blocks_of_any_size_are_byte_for_byte_the_same(tmp_path, monkeypatch):
    model = wide(35)
    for size in (8, 16, 64):
        monkeypatch.setattr(writing, "_block", lambda *_, size=size: size)
        write_atlas(model, one_batch(), tmp_path / f"{size}.zarr")
    assert bytes_of(tmp_path / "8.zarr") == bytes_of(tmp_path / "16.zarr") == bytes_of(tmp_path / "64.zarr")


def test_another_budget_gives_the_same_numbers(tmp_path):
    found = [written(tmp_path / f"{gb}.zarr", memory_gb=gb).entries().values for gb in (1.0, 1e-4, 1e-9)]
    close(found[1], found[0], 1e-12)
    close(found[2], found[0], 1e-12)


def test_shards_of_different_atlases_are_not_joined(tmp_path):
    written(tmp_path / "a.zarr", shards=2)
    written(tmp_path / "b.zarr", shards=2, shard=1, derivative="diagonal")
    with pytest.raises(PertprobeError, match="are no shards of one atlas: they say derivative diagonal, total"):
        join_atlases([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "c.zarr")
    assert not (tmp_path / "c.zarr").exists()


class Largest(TorchDispatchMode):
    """Keeps the bytes of the largest tensor that any operation made."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [each.untyped_storage().nbytes() for each in tree_leaves(made) if isinstance(each, torch.Tensor)]
        self.size = max([self.size, *sizes])
        return made


def held(monkeypatch, path, n):
    """Return the largest tensor of any call, and the most perturbations that the engine was asked at once."""
    asked = []

    def counting(model, codes, *more):
        asked.append(len(codes))
        return jacobian_cores(model, codes, *more)

    monkeypatch.setattr(writing, "jacobian_cores", counting)
    model = wide(n)
    with Largest() as made:
        write_atlas(model, one_batch(), path, memory_gb=2e-5)
    assert sum(asked) == n
    return made.size, max(asked)


def test_what_is_held_does_not_grow_with_perturbations(monkeypatch, tmp_path):
    few, many = (held(monkeypatch, tmp_path / f"{n}.zarr", n) for n in (16, 160))
    assert few == many
    largest, together = many
    assert together == 8
    assert largest < 160 * len(GENES) ** 2 * 4


def test_what_is_read_at_once_does_not_grow_with_perturbations(tmp_path):
    sizes = []
    for n in (16, 160):
        found = written(tmp_path / f"{n}.zarr", wide(n), dtype="float32")
        with Largest() as made:
            found.mean()
            found.norms()
            found.entries(targets=["g01"])
        sizes.append(made.size)
    assert sizes[0] == sizes[1]


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {here!r})
    from test_atlas import one_batch, random_state
    from pertprobe.interpret.atlas import write_atlas, writing

    first = writing.jacobian_cores
    calls = []

    def dies(*given):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return first(*given)

    writing.jacobian_cores = dies
    writing._block = lambda *_: 8
    write_atlas(random_state(), one_batch(), {path!r})
"""


def test_a_killed_writer_leaves_no_atlas_and_the_next_one_removes_what_it_left(tmp_path):
    path, here = tmp_path / "a.zarr", os.path.dirname(__file__)
    script = textwrap.dedent(KILLED.format(here=here, path=str(path)))
    killed = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not path.exists()
    assert [each.name.startswith(".writing-a.zarr") for each in tmp_path.iterdir()] == [True]
    written(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_atlas_that_was_there(tmp_path, monkeypatch):
    written(tmp_path / "a.zarr", perturbations=["x1"])
    monkeypatch.setattr(writing, "jacobian_cores", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        written(tmp_path / "a.zarr")
    assert open_atlas(tmp_path / "a.zarr").perturbations == ("x1",)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.zarr"]
