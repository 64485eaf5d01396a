"""What read_cells promises: the same cells from any storage and order, and a message for every mistake."""

import tracemalloc
from functools import partial

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from pertprobe.data import h5ad
from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import halved_sums, inspect_cells, read_cells
from pertprobe.errors import Faults, PertprobeError

SOURCE = {
    "context": "hepg2",
    "context_column": "cell_line",
    "perturbation_column": "gene",
    "batch_column": "gem_group",
    "control": "non-targeting",
}
SIZE = {"set_size": 5, "n_sets": 3, "seed": 0}
inspect = partial(inspect_cells, set_size=5, n_sets=3)


def delta_y(path, **source):
    """Return mean over perturbed cells less mean over control cells [perturbation x gene]."""
    found = halved_sums(path, seed=0, **source)
    table = (found.sums.sum("half") / found.counts.sum("half")).to_pandas()
    return (table - table.loc[source["control"]]).drop(index=source["control"])


def cells(seed=0, n=120, genes=30):
    """Three perturbations and controls in two contexts, counts of about 1 a gene."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1, 1, genes), (n, genes))
    obs = pd.DataFrame(
        {
            "cell_line": np.where(np.arange(n) % 3 == 0, "jurkat", "hepg2"),
            "gene": np.array(["non-targeting", "STAT1", "JAK2", "non-targeting"])[np.arange(n) % 4],
            "gem_group": np.arange(n) % 2 + 1,
        },
        index=[f"cell_{i:03}" for i in range(n)],
    )
    var = pd.DataFrame({"highly_variable": np.arange(genes) % 2 == 0}, index=[f"g{i}" for i in range(genes)])
    var["symbol"] = [f"SYMBOL{i}" for i in range(genes)]
    x = np.log1p(counts / counts.sum(1, keepdims=True) * 30).astype(np.float32)
    table = ad.AnnData(x, obs=obs, var=var, layers={"counts": counts.astype(np.float32)})
    table.obsm["X_hvg"] = x[:, ::2].copy()
    return table


@pytest.fixture
def write(tmp_path):
    def write(table, name="cells.h5ad"):
        table.write_h5ad(tmp_path / name)
        return tmp_path / name

    return write


def message(path, **changes):
    """The text of the error that reading with these changes raises."""
    with pytest.raises(PertprobeError) as error:
        read_cells(path, **{**SOURCE, **SIZE, **changes})
    return str(error.value)


@pytest.mark.parametrize("stored", [np.asarray, sparse.csr_matrix, sparse.csc_matrix], ids=["dense", "csr", "csc"])
@pytest.mark.parametrize("space", ["X", "layers/scaled", "X_all"])
def test_every_storage_in_every_space_gives_the_same_cell_sets(write, stored, space):
    expected = read_cells(write(cells(), "expected.h5ad"), **SOURCE, **SIZE, genes=["g3", "g1", "g20"])
    table = cells()
    values = stored(table.X)
    table.layers["scaled"], table.obsm["X_all"], table.X = values, values, values
    found = read_cells(write(table), **SOURCE, **SIZE, space=space, genes=["g3", "g1", "g20"])
    assert found.hash == expected.hash
    np.testing.assert_array_equal(found.values, expected.values)


def test_blocks_of_any_size_give_the_same_values(write, monkeypatch):
    paths = [write(cells(n=600), "dense.h5ad")]
    for name, stored in (("csr", sparse.csr_matrix), ("csc", sparse.csc_matrix)):
        table = cells(n=600)
        table.X = stored(table.X)
        paths.append(write(table, f"{name}.h5ad"))
    expected = read_cells(paths[0], **SOURCE, **SIZE).hash, delta_y(paths[0], **SOURCE)
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", 1000)
    for path in paths:
        assert read_cells(path, **SOURCE, **SIZE).hash == expected[0]
        pd.testing.assert_frame_equal(delta_y(path, **SOURCE), expected[1])


def test_values_belong_to_the_cells_and_genes_they_are_named_for(write):
    table = cells()
    found = read_cells(write(table), **SOURCE, **SIZE, genes=["g7", "g2"])
    for ids, values, batches in zip(found.cell_ids, found.values, found.batches, strict=True):
        np.testing.assert_array_equal(values, table[ids, ["g7", "g2"]].X)
        assert list(batches) == list(table.obs.loc[ids, "gem_group"].astype(str))
        assert (table.obs.loc[ids, "gene"] == "non-targeting").all()
        assert (table.obs.loc[ids, "cell_line"] == "hepg2").all()


def test_order_of_cells_in_the_file_does_not_matter(write):
    table = cells()
    shuffled = table[np.random.default_rng(1).permutation(table.n_obs)].copy()
    first, second = (read_cells(write(t, f"{i}.h5ad"), **SOURCE, **SIZE) for i, t in enumerate((table, shuffled)))
    assert first.hash == second.hash


def test_sets_are_disjoint_and_deterministic(write):
    path = write(cells())
    first, again, other = (read_cells(path, **SOURCE, **{**SIZE, "seed": seed}) for seed in (0, 0, 1))
    assert len(set(first.cell_ids.ravel())) == 15
    assert first.hash == again.hash != other.hash


def test_more_sets_keep_the_first_ones(write):
    path = write(cells())
    few, many = (read_cells(path, **SOURCE, **{**SIZE, "n_sets": n}) for n in (2, 4))
    np.testing.assert_array_equal(many.cell_ids[:2], few.cell_ids)


def test_hash_survives_writing_and_loading(write, tmp_path):
    found = read_cells(write(cells()), **SOURCE, **SIZE, space="X_hvg")
    found.write(tmp_path / "sets.h5ad")
    loaded = CellSets.load(tmp_path / "sets.h5ad")
    assert (loaded.hash, loaded.genes, loaded.context, loaded.notes) == (
        found.hash,
        found.genes,
        found.context,
        found.notes,
    )
    np.testing.assert_array_equal(loaded.values, found.values)
    np.testing.assert_array_equal(loaded.batches, found.batches)
    assert list(tmp_path.glob(".writing-*")) == []


def test_cells_without_batches_or_notes_survive_writing_and_loading(write, tmp_path):
    found = read_cells(write(cells()), **{**SOURCE, **SIZE, "batch_column": None})
    found.write(tmp_path / "sets.h5ad")
    loaded = CellSets.load(tmp_path / "sets.h5ad")
    assert loaded.batches is None
    assert (loaded.hash, loaded.notes) == (found.hash, ())


def test_changed_cell_sets_are_refused_on_loading(write, tmp_path):
    read_cells(write(cells()), **SOURCE, **SIZE).write(tmp_path / "sets.h5ad")
    table = ad.read_h5ad(tmp_path / "sets.h5ad")
    table.X[0, 0] += 1
    table.write_h5ad(tmp_path / "sets.h5ad")
    with pytest.raises(PertprobeError, match=r"hash .* was written"):
        CellSets.load(tmp_path / "sets.h5ad")


def test_a_file_of_plain_cells_is_no_cell_set(write):
    with pytest.raises(PertprobeError, match="holds no cell sets"):
        CellSets.load(write(cells()))


def test_cell_sets_of_wrong_shape_are_refused():
    with pytest.raises(Faults, match=r"values have shape \(2, 3, 4\).*5 genes"):
        CellSets(np.zeros((2, 3, 4)), tuple("abcde"), None, np.arange(6).astype(str).reshape(2, 3), "hepg2")


def test_for_genes_reorders_by_name(write):
    found = read_cells(write(cells()), **SOURCE, **SIZE)
    part = found.for_genes(["g9", "g4"])
    np.testing.assert_array_equal(part.values, found.values[:, :, [9, 4]])
    assert part.hash != found.hash


def test_for_genes_lists_the_missing(write):
    found = read_cells(write(cells()), **SOURCE, **SIZE)
    with pytest.raises(PertprobeError, match=r"12 of 13 genes are missing from the cell sets: X0, X1.*\(12 in all\)"):
        found.for_genes(["g1", *(f"X{i}" for i in range(12))])


# Names of an obsm


def test_obsm_takes_names_from_highly_variable_genes_and_says_so(write):
    found = read_cells(write(cells()), **SOURCE, **SIZE, space="X_hvg")
    assert found.genes == tuple(f"g{i}" for i in range(0, 30, 2))
    assert "taken from var_names[var.highly_variable]" in found.notes[0]


def test_obsm_takes_names_from_uns_and_says_so(write):
    table = cells()
    del table.var["highly_variable"]
    table.uns["hvg_names"] = np.array([f"g{i}" for i in range(0, 30, 2)])
    found = read_cells(write(table), **SOURCE, **SIZE, space="X_hvg")
    assert found.genes[1] == "g2"
    assert "uns['hvg_names']" in found.notes[0]


def test_obsm_with_columns_of_its_own_keeps_them(write):
    table = cells()
    table.obsm["X_hvg"] = pd.DataFrame(
        table.obsm["X_hvg"], index=table.obs_names, columns=[f"own{i}" for i in range(15)]
    )
    found = read_cells(write(table), **SOURCE, **SIZE, space="X_hvg", genes=["own3", "own1"])
    np.testing.assert_array_equal(found.values[0, 0], table.obsm["X_hvg"].loc[found.cell_ids[0, 0], ["own3", "own1"]])


def test_gene_names_can_come_from_a_column_of_var(write):
    found = read_cells(write(cells()), **SOURCE, **SIZE, space="X_hvg", gene_names="var:symbol")
    assert found.genes[:2] == ("SYMBOL0", "SYMBOL2")


def test_sources_of_names_that_disagree_are_refused(write):
    table = cells()
    table.uns["hvg_names"] = np.array([f"g{i}" for i in range(1, 30, 2)])
    text = message(write(table), space="X_hvg")
    assert "first in column 0 (g0 against g1). Set genes to 'var' or 'uns:hvg_names'" in text


def test_mislabelled_obsm_is_refused_by_its_values(write):
    table = cells()
    table.obsm["X_hvg"] = table.obsm["X_hvg"][:, np.random.default_rng(0).permutation(15)]
    assert "values and X's correlate at" in message(write(table), space="X_hvg")


def test_embedding_columns_are_named_by_their_place(write):
    table = cells()
    table.obsm["X_emb"] = np.random.default_rng(0).normal(size=(120, 4))
    found = read_cells(write(table), **SOURCE, **SIZE, space="obsm/X_emb", normalisation="none")
    assert found.genes == ("X_emb_0", "X_emb_1", "X_emb_2", "X_emb_3")
    assert "names no genes" in found.notes[0]


def test_names_of_another_length_are_refused(write):
    assert "'X_hvg' has 15 columns, but var['symbol'] holds" not in message(write(cells()), space="X_hvg", genes=["no"])
    table = cells()
    table.uns["short"] = np.array(["a", "b"])
    assert "has 15 columns, but uns['short'] holds 2" in message(write(table), space="X_hvg", gene_names="uns:short")


def test_unknown_source_of_names_lists_those_present(write):
    assert "gene names 'var:name' are not in the file (found: var, var:highly_variable, var:symbol)" in message(
        write(cells()), gene_names="var:name"
    )


# Messages


def test_missing_column_lists_those_present(write):
    text = message(write(cells()), batch_column="gem_goup")
    assert "no column 'gem_goup' (found: cell_line, gene, gem_group)" in text
    assert "Set batch_column to one of them. Did you mean 'gem_group'?" in text


def test_unknown_context_lists_those_present(write):
    text = message(write(cells()), context="hepG2")
    assert "context 'hepG2' is not in obs['cell_line'] (found: hepg2, jurkat)" in text
    assert "Did you mean 'hepg2'?" in text


def test_absent_control_label_lists_frequent_labels(write):
    text = message(write(cells()), control="non_targeting")
    assert "'non_targeting' is not in obs['gene'] (most frequent: non-targeting, " in text


def test_too_few_controls_says_how_many_sets_would_fit(write):
    text = message(write(cells()), n_sets=30)
    assert "has 40 control cells" in text
    assert "30 sets x 5 = 150 needed. Set n_sets to 8" in text


def test_too_few_controls_for_one_set_says_the_largest_size(write):
    assert "Set set_size to at most 40" in message(write(cells()), n_sets=1, set_size=64)


def test_empty_batch_labels_are_counted(write):
    table = cells()
    table.obs["gem_group"] = table.obs["gem_group"].astype(str).where(np.arange(120) > 20).astype("category")
    assert "obs['gem_group'] is empty for 7 control cells" in message(write(table))


def test_raw_counts_are_refused_where_log1p_is_expected(write):
    assert "raw counts (up to" in message(write(cells()), space="layers/counts")
    assert "raw counts" in message(write(cells()), space="counts")


def test_values_that_were_not_logged_are_refused(write):
    table = cells()
    table.X = np.expm1(table.X) * 10
    assert "log1p is expected, which stays below 20" in message(write(table))


def test_fractions_are_refused_where_counts_are_expected(write):
    path = write(cells())
    assert "holds fractions where counts are expected" in message(path, normalisation="counts")
    assert read_cells(path, **SOURCE, **SIZE, space="counts", normalisation="counts").values.max() > 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_name_cell_and_gene(write, value):
    table = cells()
    table.X[:, 4] = value
    text = message(write(table))
    assert "NaN or infinite values (first: cell cell_" in text
    assert "gene g4" in text


def test_negative_values_are_refused(write):
    table = cells()
    table.X[:, 4] = -2
    assert "holds negative values (smallest: -2)" in message(write(table))


def test_a_space_of_zeros_is_refused(write):
    table = cells()
    table.X[:] = 0
    assert "nothing but zeros" in message(write(table))


def test_duplicate_genes_are_refused(write):
    table = cells()
    table.var_names = ["g0", "g0", *table.var_names[2:]]
    assert "1 genes occur twice in space 'X': g0" in message(write(table))


def test_a_duplicate_nobody_asks_for_does_no_harm(write):
    table = cells()
    table.var_names = ["g0", "g0", *table.var_names[2:]]
    assert read_cells(write(table), **SOURCE, **SIZE, genes=["g5"]).genes == ("g5",)


def test_duplicate_cells_are_refused(write):
    table = cells()
    table.obs_names = ["cell_004", *table.obs_names[1:4], "cell_001", *table.obs_names[5:]]
    assert "1 names of cells occur twice: cell_001" in message(write(table))


def test_missing_genes_are_listed_with_the_column_that_has_them(write):
    text = message(write(cells()), genes=["SYMBOL3", "SYMBOL4"])
    assert "2 of 2 genes are missing from space 'X': SYMBOL3, SYMBOL4" in text
    assert "set genes to 'var:symbol'" in text


def test_unknown_space_lists_those_present(write):
    assert "space 'X_hgv' is not in the file (found: X, layers/counts, X_hvg). Did you mean 'X_hvg'?" in message(
        write(cells()), space="X_hgv"
    )


def test_several_faults_come_together(write):
    with pytest.raises(Faults) as error:
        read_cells(write(cells()), **{**SOURCE, **SIZE, "context": "k562", "control": "ntc", "genes": ["nope"]})
    assert len(error.value.messages) == 3


def test_absent_file(tmp_path):
    assert "does not exist" in message(tmp_path / "none.h5ad")


def test_a_file_that_is_no_h5ad(tmp_path):
    (tmp_path / "cells.h5ad").write_text("cell,gene\n")
    assert "cannot be read as an h5ad" in message(tmp_path / "cells.h5ad")


def test_a_truncated_file(write):
    path = write(cells())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "if truncated, copy or download it again" in message(path)


def test_a_damaged_file_is_a_message_wherever_the_damage_lies(write):
    path = write(cells(n=2000, genes=60))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for start in rng.integers(100, len(whole) - 600, 60):
        path.write_bytes(whole[:start] + rng.bytes(512) + whole[start + 512 :])
        try:
            read_cells(path, **SOURCE, **SIZE)
            delta_y(path, **SOURCE)
        except PertprobeError:
            continue


def test_hdf5_without_cells(tmp_path):
    import h5py

    h5py.File(tmp_path / "other.h5ad", "w").close()
    assert "not an h5ad with obs and var" in message(tmp_path / "other.h5ad")


# The cheap check of the first job


def test_inspection_finds_nothing_in_a_good_file(write):
    assert inspect(write(cells()), **SOURCE) == []


@pytest.mark.parametrize("stored", [sparse.csr_matrix, sparse.csc_matrix])
def test_inspection_reports_what_reading_would_raise(write, stored):
    table = cells()
    table.X = stored(table.layers["counts"])
    path = write(table)
    assert inspect(path, **SOURCE)[0].split(" (")[0] in message(path)
    assert len(inspect(path, **{**SOURCE, "control": "ntc", "space": "X_hgv"})) == 2


def test_inspection_of_a_broken_file_is_a_message(tmp_path):
    assert "does not exist" in inspect(tmp_path / "none.h5ad", **SOURCE)[0]


# Memory


@pytest.mark.parametrize("stored", ["csr", "csc"])
def test_a_sparse_file_is_never_whole_in_memory(tmp_path, stored, monkeypatch):
    n, genes = 8_000, 1200
    places = np.tile(np.arange(0, genes, 4), n)
    x = sparse.csr_matrix((np.full(len(places), 0.5, np.float32), places, np.arange(0, len(places) + 1, genes // 4)))
    x = x.asformat(stored)
    obs = pd.DataFrame({"cell_line": "hepg2", "gene": np.where(np.arange(n) % 10, "STAT1", "non-targeting")})
    obs.index = [f"cell_{i}" for i in range(n)]
    ad.AnnData(x, obs=obs).write_h5ad(tmp_path / "large.h5ad")
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", 2**18)
    whole = x.data.nbytes + x.indices.nbytes
    source = {**SOURCE, "batch_column": None}
    read_cells(tmp_path / "large.h5ad", **source, **SIZE)  # imports are not counted
    tracemalloc.start()
    read_cells(tmp_path / "large.h5ad", **source, **SIZE)
    delta_y(tmp_path / "large.h5ad", **source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole > 18e6
    assert peak < 0.3 * whole


# Real cells


def test_papalexi_cells_are_read_and_their_pathway_is_seen(shared_path):
    path = shared_path("data/papalexi_thp1_mini_mit.h5ad")
    source = {
        "context": "rep_1",
        "context_column": "cell_context",
        "perturbation_column": "perturbation",
        "batch_column": "batch",
        "control": "non-targeting",
    }
    found = read_cells(path, **source, set_size=32, n_sets=3, seed=0)
    assert found.values.shape == (3, 32, 299)
    assert set(found.batches.ravel()) == {"rep_1"}
    delta = delta_y(path, **source)
    assert len(delta) == 25
    assert delta.T.corr().loc["IFNGR1", "JAK2"] > 0.6


def test_highly_variable_genes_of_line_a_are_named_and_equal_those_of_x(shared_path):
    path = shared_path("state/lineA.h5ad")
    source = {**SOURCE, "context": "lineA", "context_column": "cell_type"}
    found = read_cells(path, **source, set_size=32, n_sets=4, seed=0, space="X_hvg")
    x = read_cells(path, **source, set_size=32, n_sets=4, seed=0, genes=found.genes)
    assert found.genes[5] == "G006"
    np.testing.assert_allclose(found.values, x.values, atol=1e-6)


def test_cell_sets_say_in_one_line_what_they_are():
    values = np.zeros((2, 3, 4))
    ids = np.array([["a", "b", "c"], ["d", "e", "f"]])
    batches = np.array([["b1", "b1", "b0"], ["b0", "b0", "b1"]])
    found = CellSets(values, ("g1", "g2", "g3", "g4"), batches, ids, "K562")
    assert repr(found) == "CellSets: 2 sets of 3 control cells of K562, 4 genes, batches b0, b1"


@pytest.mark.parametrize("column", [["a"] * 40, pd.Categorical(["1"] * 40), pd.array([1] * 40, dtype="Int64")])
def test_a_frame_in_obsm_has_numbers_in_every_column(tmp_path, column):
    obs = pd.DataFrame({"line": "x", "label": "c"}, index=[f"c{i}" for i in range(40)])
    frame = pd.DataFrame({"g1": np.ones(40), "g2": column}, index=obs.index)
    held = ad.AnnData(np.ones((40, 2), np.float32), obs, pd.DataFrame(index=["g1", "g2"]), obsm={"X_hvg": frame})
    held.write_h5ad(tmp_path / "x.h5ad")
    asked = {"context": "x", "context_column": "line", "perturbation_column": "label", "control": "c", "space": "X_hvg"}
    with pytest.raises(PertprobeError, match=r"space 'X_hvg' holds columns of text or categories \(g2\)"):
        read_cells(tmp_path / "x.h5ad", **asked, set_size=2, n_sets=1, seed=0)


@pytest.mark.parametrize(("kind", "words"), [("S4", "text"), ("c8", "complex numbers")])
def test_a_space_of_anything_but_real_numbers_is_refused(tmp_path, kind, words):
    ad.AnnData(obs=pd.DataFrame(index=list("abc"))).write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["obsm/X_hvg"] = np.ones((3, 2)).astype(kind)
    with (
        h5ad.CellFile(tmp_path / "x.h5ad") as file,
        pytest.raises(PertprobeError, match=f"space 'X_hvg' holds {words}, real numbers are expected"),
    ):
        file.space("X_hvg")
