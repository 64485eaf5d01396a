"""Files of cells of strangers: refused in words before their values are used, in a process of their own."""

import h5py
import numpy as np
import pytest
from made_cells import CASES, CELLS, GENES, bytes_of_damage, write_good

from pertprobe.data.cells import read_cells
from pertprobe.data.h5ad import CellFile
from pertprobe.errors import PertprobeError
from pertprobe.readers import apart, hdf5, through
from pertprobe.readers.apart import check_apart

SPACES = ["X", "dense", "columns", "X_small"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_good(tmp_path_factory.mktemp("good") / "cells.h5ad")


@pytest.fixture
def copied(good, tmp_path):
    path = tmp_path / "cells.h5ad"
    path.write_bytes(good.read_bytes())
    return path


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_file_is_refused_in_words(copied, case):
    damage, words = CASES[case]
    with h5py.File(copied, "r+") as file:
        damage(file)
    fault = through.fault_of(str(copied), SPACES)
    assert words in fault
    assert fault.startswith(("is refused, since it ", "cannot be read as an h5ad ("))
    assert "anndata" in fault or "copy or download it again" in fault


@pytest.mark.parametrize("case", bytes_of_damage(b"x" * 1000))
def test_what_is_no_h5ad_is_refused_in_words(good, tmp_path, case):
    data, words = bytes_of_damage(good.read_bytes())[case]
    path = tmp_path / "cells.h5ad"
    path.write_bytes(data)
    with pytest.raises(PertprobeError, match=words) as caught:
        CellFile(path)
    assert str(path) in str(caught.value)
    if case != "a pointer of LFS":
        assert words in through.fault_of(str(path), SPACES)


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_a_good_file_is_good(tmp_path, compression):
    assert through.fault_of(str(write_good(tmp_path / "cells.h5ad", compression)), SPACES) == ""


def test_links_inside_the_file_are_followed(copied):
    with h5py.File(copied, "r+") as file:
        file.move("X", "kept")
        file["X"] = h5py.SoftLink("/kept")
        file["uns/again"] = file["/"]  # a circle
    assert through.fault_of(str(copied), SPACES) == ""


def test_chunks_of_gigabytes_are_refused(copied):
    with h5py.File(copied, "r+") as file:
        del file["layers/dense"]
        file.create_dataset("layers/dense", (CELLS, GENES), "f4", maxshape=(None, None), chunks=(2**15, 2**14))
    assert "in chunks of 2,147,483,648 bytes" in through.fault_of(str(copied), SPACES)


def test_every_value_is_read_once_whatever_its_chunks(tmp_path, monkeypatch):
    values = np.arange(7 * 11 * 3).reshape(7, 11, 3)
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 200)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i, chunks in enumerate([None, (2, 11, 3), (7, 1, 1), (3, 4, 2)]):
            dataset = file.create_dataset(str(i), data=values, chunks=chunks)
            read = [each for block in hdf5.blocks(dataset) for each in block.ravel()]
            assert sorted(read) == list(range(values.size))


@pytest.mark.parametrize("place", ["X/indices", "layers/columns/indices"])
@pytest.mark.parametrize("value", [-1, 10**6])
def test_rows_are_checked_again_where_they_are_used(copied, place, value):
    """A library that reads cells without job one is as safe: scipy would write outside of its memory."""
    with h5py.File(copied, "r+") as file:
        indices = file[place][:]
        indices[:] = value
        file[place][...] = indices
    source = {"context": "a", "context_column": "line", "perturbation_column": "gene", "control": "ctrl"}
    space = "columns" if "columns" in place else "X"
    with pytest.raises(PertprobeError, match=f"is damaged: a value at the place {value} of "):
        read_cells(copied, **source, set_size=4, n_sets=2, seed=0, space=space, normalisation="none")


def test_columns_of_other_forms_are_refused_where_they_are_asked_for(copied):
    with h5py.File(copied, "r+") as file:
        file["obs/flag"].attrs["encoding-type"] = "awkward-array"
        file["obs/line/codes"][3] = 99
    assert "holds the code 99" in through.fault_of(str(copied), SPACES)
    with CellFile(copied) as file:
        with pytest.raises(PertprobeError, match=r"obs\['flag'\] is stored as 'awkward-array', which is no column"):
            file.column("obs", "flag")
        with pytest.raises(PertprobeError, match=r"obs\['line'\] is damaged .*Write it again with anndata"):
            file.column("obs", "line")


def test_a_file_is_read_in_a_process_of_its_own_and_once(copied, monkeypatch):
    check_apart(copied, ["X"])
    monkeypatch.setattr(apart, "READER", ("-c", "raise SystemExit(1)"))
    check_apart(copied, ["X"])  # what is known of the file is not asked again
    with h5py.File(copied, "r+") as file:
        file["X/indices"][0] = GENES
    monkeypatch.undo()
    with pytest.raises(PertprobeError, match=r"cells\.h5ad cannot be read as an h5ad \(/X/indices holds the column 12"):
        check_apart(copied, ["X"])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", r"ended its process \(signal 11, SIGSEGV\): the file is damaged"),
        ("import time; time.sleep(60)", r"came to no end \(no step in 1 s\): the file is damaged; copy"),
        ("raise ValueError('inside')", r"its reader failed \(ValueError: inside\)"),
    ],
)  # fmt: skip
def test_the_death_of_a_reader_becomes_words(copied, monkeypatch, code, words):
    monkeypatch.setattr(apart, "READER", ("-c", code))
    with pytest.raises(PertprobeError, match=words):
        check_apart(copied, patience=1)


def test_memory_is_limited(copied, monkeypatch):
    code = "import numpy; from pertprobe.readers.through import limit_memory; limit_memory(); numpy.ones(2**30)"
    monkeypatch.setattr(apart, "READER", ("-c", code))
    with pytest.raises(PertprobeError, match=r"its reader failed .*Unable to allocate"):
        check_apart(copied)


def test_where_there_is_no_file_others_say_so(tmp_path):
    check_apart(tmp_path / "none.h5ad")
    with pytest.raises(PertprobeError, match="does not exist"):
        CellFile(tmp_path / "none.h5ad")
