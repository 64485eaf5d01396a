"""Readers give back what was written, whatever it was; the files are hypothesis's, the wanted rows and columns too."""

import json
import tempfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from pertprobe.data.h5ad import CellFile, chunks, group_sums, shape, take
from pertprobe.data.programs import read_programs
from pertprobe.data.regulons import read_regulons
from pertprobe.errors import PertprobeError
from pertprobe.models.split_file import read_split
from pertprobe.models.training_split import seen_status

QUICK = settings(max_examples=25, deadline=None, derandomize=True)
LETTERS = "abzAZ019éλ基"
NAMES = st.tuples(st.sampled_from(LETTERS), st.text(LETTERS + "-_./() #", max_size=8)).map("".join).map(str.strip)
SETS = st.dictionaries(NAMES, st.sets(NAMES, min_size=1, max_size=6), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**32 - 1)


def written(text, suffix):
    """Write a text into a new file; its folder lives as long as what is returned."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / f"file{suffix}"
    path.write_text(text, encoding="utf-8", newline="")
    return folder, path


def read_or_refused(read, path):
    """Return what is read and no words, or nothing and the words of the refusal; all else is raised."""
    try:
        return read(path), ""
    except PertprobeError as error:
        return None, str(error)


@QUICK
@given(SETS, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_gene_sets_are_read_as_they_were_written(sets, end, last):
    lines = ["\t".join([name, "described", *sorted(genes)]) for name, genes in sets.items()]
    folder, path = written(end.join(lines) + (end if last else ""), ".gmt")
    with folder:
        assert read_programs(path) == {name: tuple(sorted(genes)) for name, genes in sets.items()}


@QUICK
@given(st.text(max_size=200), st.sampled_from([".gmt", ".txt"]))
def test_any_text_is_gene_sets_or_is_refused_in_words(text, suffix):
    folder, path = written(text, suffix)
    with folder:
        found, words = read_or_refused(read_programs, path)
    assert (found is None) == (str(path) in words)
    assert all(name and genes and all(genes) for name, genes in (found or {}).items())


@QUICK
@given(st.text(max_size=120), st.sampled_from([".tsv", ".csv"]))
def test_any_text_is_regulons_or_is_refused_in_words(text, suffix):
    folder, path = written(text, suffix)
    with folder:
        found, words = read_or_refused(read_regulons, path)
    assert (found is None) == (str(path) in words)
    assert found is None or set(found.signs.sign) <= {-1, 0, 1}


@QUICK
@given(NAMES, NAMES, st.lists(NAMES, unique=True, min_size=2, max_size=8), SEEDS)
def test_a_split_says_what_was_held_out_and_nothing_else(dataset, context, names, seed):
    rng = np.random.default_rng(seed)
    held = [name for name in names if rng.random() < 0.5]
    dataset = dataset.replace(".", "_")  # what stands before the first point is the data set
    key = json.dumps(f"{dataset}.{context}", ensure_ascii=False)
    lists = json.dumps(held, ensure_ascii=False)
    training = f'[training]\n{json.dumps(dataset, ensure_ascii=False)} = "train"\n'
    text = f"{training}[fewshot.{key}]\nval = []\ntest = {lists}\n"
    folder, path = written(text, ".toml")
    with folder:
        status = seen_status(read_split(path), names, context, [context])
    assert status.to_dict() == {name: "never" if name in held else "here" for name in names}


MATRICES = st.tuples(st.integers(1, 12), st.integers(1, 9)).flatmap(
    lambda size: arrays(np.float32, size, elements=st.sampled_from([0.0, 0.0, 0.5, 1.25, 3.0]))
)
FORMS = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


def stored(values, form, folder):
    """Write a matrix as the X of an h5ad; return its path."""
    path = Path(folder) / "cells.h5ad"
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(values))])
    var = pd.DataFrame(index=[f"g{i}" for i in range(values.shape[1])])
    anndata.AnnData(FORMS[form](values), obs, var).write_h5ad(path)
    return path


@QUICK
@given(MATRICES, st.sampled_from(list(FORMS)), SEEDS)
def test_rows_and_columns_are_those_that_were_asked_for(values, form, seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(values))[: rng.integers(1, len(values) + 1)]
    columns = rng.permutation(values.shape[1])[: rng.integers(1, values.shape[1] + 1)]
    with tempfile.TemporaryDirectory() as folder, CellFile(stored(values, form, folder)) as file:
        node = file.space("X")
        assert shape(node) == values.shape
        np.testing.assert_array_equal(take(node, rows, columns), values[np.ix_(rows, columns)])
        ordered = np.sort(rows)
        blocks = np.concatenate(list(chunks(node, ordered, columns)))
        np.testing.assert_array_equal(blocks, values[np.ix_(ordered, columns)])


@QUICK
@given(MATRICES, st.sampled_from(list(FORMS)), SEEDS)
def test_sums_of_groups_are_those_of_a_loop(values, form, seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 3, len(values))
    columns = rng.permutation(values.shape[1])
    slow = np.zeros((3, values.shape[1]))
    for row, group in zip(values, groups, strict=True):
        slow[group] += row[columns]
    with tempfile.TemporaryDirectory() as folder, CellFile(stored(values, form, folder)) as file:
        found = group_sums(file.space("X"), np.arange(len(values)), groups, columns, 3)
    np.testing.assert_allclose(found, slow, rtol=1e-12)
