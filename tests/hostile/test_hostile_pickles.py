"""Pickles and checkpoints of strangers: each refused in words that name the file, the fault and the remedy."""

import collections
import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from made_pickles import ARCHIVES, GOOD, PICKLES, sequence

from pertprobe.errors import PertprobeError
from pertprobe.readers import budget, pickles
from pertprobe.readers.saved import read_saved

ALL = {**{f"pickle: {key}": value for key, value in PICKLES.items()}, **ARCHIVES}
REMEDIES = ("Copy or download it again", "save it again without that", "git lfs pull")


@pytest.mark.parametrize("case", ALL)
def test_a_hostile_file_is_refused_in_words(tmp_path, case):
    data, words = ALL[case]
    file = tmp_path / "map.pkl"
    file.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PertprobeError, match=words) as caught:
        read_saved(file)
    assert "map.pkl: " in str(caught.value)
    assert any(remedy in str(caught.value) for remedy in REMEDIES)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_what_takes_too_many_steps_or_too_long_is_refused(tmp_path, monkeypatch):
    (tmp_path / "map.pkl").write_bytes(pickle.dumps(list(range(5000))))
    monkeypatch.setattr(pickles, "ITEMS", 1000)
    with pytest.raises(PertprobeError, match="holds more than 1,000 items"):
        read_saved(tmp_path / "map.pkl")
    monkeypatch.undo()
    monkeypatch.setattr(pickles, "Clock", lambda: budget.Clock(-1))
    with pytest.raises(PertprobeError, match="takes longer to read"):
        read_saved(tmp_path / "map.pkl")


def values():
    rng = np.random.default_rng(0)
    return {
        "plain": [1, -2, 2**40, 1.5, True, None, "é", b"\x00\xff", (1, (2,)), {"a": {1: 2}}, {3, 4}, frozenset("a")],
        "numpy": [np.int64(3), np.float32(0.5), np.str_("name"), np.bool_(True), np.array(["a", "bc"])],
        "arrays": [rng.random((2, 3)), np.asfortranarray(rng.random((2, 3))), np.arange(4, dtype=">i4"), np.zeros(0)],
        "objects": np.array(["x", None, 2], dtype=object),
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        np.str_("key"): np.array([[True, False]]),
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.shape == b.shape and a.dtype.kind == b.dtype.kind and (a == b).all()
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_honest_programs_write_is_read_as_pickle_does(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values(), protocol))
    assert same(read_saved(tmp_path / "a.pkl"), pickle.loads(pickle.dumps(values())))


TENSORS = {
    str(dtype): torch.arange(6).reshape(2, 3).to(dtype)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool,
                  torch.complex64)
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_all_types_and_views_are_read_as_torch_does(tmp_path, zipped):
    base = torch.arange(12.0).reshape(3, 4)
    content = {**TENSORS, "turned": base.T, "part": base[1:, ::2], "empty": torch.zeros(0, 3), "one": torch.tensor(2.0)}
    content |= {"parameter": torch.nn.Parameter(torch.ones(2)), "size": base.shape, "dtype": torch.float32}
    content["state"] = torch.nn.Linear(2, 3).state_dict()
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    wanted = torch.load(tmp_path / "a.pt", weights_only=True)
    wanted |= {"parameter": wanted["parameter"].detach(), "size": tuple(wanted["size"])}
    assert same(read_saved(tmp_path / "a.pt"), wanted)


def test_rows_of_one_matrix_in_a_plain_pickle_are_read(tmp_path):
    rows = {f"b{i}": row for i, row in enumerate(torch.eye(5))}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(rows))
    assert same(read_saved(tmp_path / "a.pkl"), rows)


def test_the_made_files_are_whole_where_nothing_is_changed(tmp_path):
    (tmp_path / "a.pt").write_bytes(GOOD)
    assert torch.equal(read_saved(tmp_path / "a.pt")["w0"], torch.arange(6.0).reshape(2, 3))
    (tmp_path / "b.pt").write_bytes(sequence())
    assert torch.equal(read_saved(tmp_path / "b.pt")["w"], torch.arange(6.0))


def reference(path):
    """Read a trusted file as pickle and torch do."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"PK"
    return torch.load(path, weights_only=False) if zipped else pickle.loads(path.read_bytes())


def test_every_file_of_real_directories_is_read_as_pickle_and_torch_do(shared_path):
    files = [
        each for each in Path(shared_path("state")).rglob("*") if each.suffix in (".pkl", ".pt", ".torch", ".ckpt")
    ]
    assert len(files) >= 60
    assert [each for each in files if not same(read_saved(each), reference(each))] == []


def test_nothing_is_called(tmp_path):
    mark = tmp_path / "executed"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    torch.save({"a": Evil()}, tmp_path / "a.pt")
    with pytest.raises(PertprobeError, match="system"):
        read_saved(tmp_path / "a.pt")
    assert not mark.exists()
