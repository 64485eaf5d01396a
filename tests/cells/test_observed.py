"""What was observed: the same from any storage and order, halves that share no cell, co-expression of control cells."""

import tracemalloc
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from pertprobe.data import h5ad
from pertprobe.data.cells import control_correlation, halved_sums
from pertprobe.data.observed import NO_CORRELATION, coexpression_similarity, observe, similarity_reference
from pertprobe.errors import PertprobeError
from pertprobe.seeding import generator
from pertprobe.stages.measuring import read_measurement, write_measurement

ENTRY = {
    "context": "here",
    "context_column": "line",
    "perturbation_column": "gene",
    "control": "ctrl",
    "batch_column": None,
    "space": "X_hvg",
    "genes": "var",
    "normalisation": "log1p",
}
SOURCE = {key: ENTRY[key] for key in ("context", "context_column", "perturbation_column", "control", "space")}
GENES = tuple(f"g{i}" for i in range(12))
CARD = {"genes": GENES, "output_genes": GENES, "capabilities": ["predict", "gene_space"]}


def cells(n=400, seed=0):
    """Return cells of two contexts: three perturbations, one of a single cell, controls; g11 is constant."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(1.0, 1.0, (n, len(GENES))).astype(np.float32)
    x[:, 1] += x[:, 0]
    x[:, 11] = 1.5
    labels = rng.choice(["ctrl", "g0", "g1", "other"], n).astype(object)
    labels[0] = "lonely"
    obs = pd.DataFrame({"line": np.where(np.arange(n) % 4, "here", "there"), "gene": labels})
    obs.index = [f"cell_{i:04}" for i in rng.permutation(n)]
    obs.iloc[0, 0] = "here"
    table = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=list(GENES)))
    table.obsm["X_hvg"] = x.copy()
    return table


def written(folder: Path, table, name="cells.h5ad"):
    table.write_h5ad(folder / name)
    return folder / name


@pytest.fixture(scope="module")
def table():
    return cells()


@pytest.fixture(scope="module")
def path(table, tmp_path_factory):
    return written(tmp_path_factory.mktemp("observed"), table)


@pytest.fixture(scope="module")
def observed(path):
    return observe(path, CARD, ENTRY, seed=3)


def slow_halves(table, name, seed):
    """Return the mean expression of the two halves of a perturbation's cells, dealt out name by name."""
    inside = table[(table.obs.line == "here") & (table.obs.gene == name)]
    dealt = generator(seed, "observed", "here", name).permutation(inside.n_obs)
    rows = {0: [], 1: []}
    for cell, place in zip(sorted(inside.obs_names), dealt, strict=True):
        rows[place % 2].append(inside[cell].obsm["X_hvg"][0].astype(float))
    return [np.mean(each, axis=0) if each else np.full(len(GENES), np.nan) for each in rows.values()]


def test_the_whole_is_the_difference_of_means(table, observed):
    inside = table[table.obs.line == "here"]
    means = pd.DataFrame(inside.obsm["X_hvg"].astype(float)).groupby(inside.obs.gene.to_numpy()).mean()
    assert observed.perturbation.values.tolist() == ["g0", "g1", "lonely", "other"]
    np.testing.assert_allclose(observed.delta_y, means.drop(index="ctrl") - means.loc["ctrl"], atol=1e-6)
    counts = inside.obs.gene.value_counts().to_dict()
    assert observed.attrs["n_controls"] == counts.pop("ctrl")
    assert observed.n_cells.to_series().to_dict() == counts


def test_what_a_knock_down_leaves_of_its_gene_is_a_share_of_what_controls_have(table, observed):
    inside = table[table.obs.line == "here"]
    means = pd.DataFrame(inside.obsm["X_hvg"].astype(float), columns=GENES).groupby(inside.obs.gene.to_numpy()).mean()
    expected = {name: min(means.loc[name, name] / means.loc["ctrl", name], 1) for name in ("g0", "g1")}
    assert observed.left.dropna("perturbation").to_series().to_dict() == pytest.approx(expected)


def test_a_gene_that_control_cells_do_not_express_has_no_level(table, tmp_path):
    silent = table.copy()
    x = silent.obsm["X_hvg"]
    x[(silent.obs.gene == "ctrl").to_numpy(), 0] = 0
    x[(silent.obs.gene == "g1").to_numpy(), 1] *= 0.01
    found = observe(written(tmp_path, silent), CARD, ENTRY, seed=3).left.to_series()
    assert np.isnan(found.g0)
    assert found.g1 < 0.05


def test_halves_of_cells_and_of_controls_are_those_dealt_out_by_name(table, observed):
    control = slow_halves(table, "ctrl", 3)
    for name in ("g0", "g1", "other", "lonely"):
        expected = [mine - theirs for mine, theirs in zip(slow_halves(table, name, 3), control, strict=True)]
        np.testing.assert_allclose(observed.delta_y_half.sel(perturbation=name), expected, atol=1e-6)


def test_halves_are_equal_in_size_and_add_up_to_the_whole(path, table):
    found = halved_sums(path, seed=0, genes=GENES, **SOURCE)
    inside = table[table.obs.line == "here"]
    assert (found.counts[0] - found.counts[1]).min() >= 0
    assert (found.counts[0] - found.counts[1]).max() <= 1
    for i, name in enumerate(found.perturbation.values):
        mine = inside[inside.obs.gene == name].obsm["X_hvg"].astype(float)
        assert found.counts[:, i].sum() == len(mine)
        np.testing.assert_allclose(found.sums[:, i].sum(axis=0), mine.sum(axis=0), rtol=1e-6)


def test_a_perturbation_of_one_cell_has_one_half(observed):
    lonely = observed.sel(perturbation="lonely")
    assert lonely.delta_y.notnull().all()
    assert lonely.delta_y_half.isnull().all("gene").values.tolist() == [False, True]
    assert observed.drop_sel(perturbation="lonely").delta_y_half.notnull().all()


def test_the_draw_goes_by_names_and_not_by_places(table, tmp_path, observed):
    shuffled = table[np.random.default_rng(5).permutation(table.n_obs)].copy()
    again = observe(written(tmp_path, shuffled), CARD, ENTRY, seed=3)
    for name in observed:
        np.testing.assert_allclose(again[name], observed[name], atol=1e-6)


def test_halves_of_one_perturbation_do_not_depend_on_the_others(table, tmp_path, observed):
    fewer = table[table.obs.gene != "g1"].copy()
    again = observe(written(tmp_path, fewer), CARD, ENTRY, seed=3)
    np.testing.assert_array_equal(
        again.delta_y_half.sel(perturbation="g0"), observed.delta_y_half.sel(perturbation="g0")
    )


def test_another_seed_deals_other_halves_of_the_same_whole(path, observed):
    other = observe(path, CARD, ENTRY, seed=4)
    np.testing.assert_array_equal(other.delta_y, observed.delta_y)
    np.testing.assert_array_equal(other.correlation, observed.correlation)
    assert not np.allclose(other.delta_y_half.sel(perturbation="g0"), observed.delta_y_half.sel(perturbation="g0"))


@pytest.mark.parametrize("stored", [np.asarray, sparse.csr_matrix, sparse.csc_matrix], ids=["dense", "csr", "csc"])
@pytest.mark.parametrize("block", [200, 2**25])
def test_storage_and_blocks_change_nothing(table, tmp_path, observed, stored, block, monkeypatch):
    again = table.copy()
    again.obsm["X_hvg"] = stored(again.obsm["X_hvg"])
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", block)
    found = observe(written(tmp_path, again), CARD, ENTRY, seed=3)
    for name in observed:
        np.testing.assert_allclose(found[name], observed[name], atol=1e-6)


def test_correlation_is_numpys_over_the_control_cells_of_the_context(table, observed):
    controls = table[(table.obs.line == "here") & (table.obs.gene == "ctrl")].obsm["X_hvg"].astype(float)
    expected = np.corrcoef(controls[:, :11].T)
    np.testing.assert_allclose(observed.correlation[:11, :11], expected, atol=1e-6)
    assert observed.correlation.sel(input_gene="g0", input_gene_b="g1") > 0.5
    assert observed.correlation.dtype == np.float32
    assert not observed.correlation.sel(input_gene="g11").any()
    assert not observed.correlation.sel(input_gene_b="g11").any()


def test_a_common_level_costs_the_correlation_no_digits(table, tmp_path, monkeypatch):
    lifted = table.copy()
    lifted.obsm["X_hvg"] = 15 + 1e-3 * table.obsm["X_hvg"].astype(np.float64)
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", 500)
    found, names = control_correlation(written(tmp_path, lifted), genes=GENES[:11], **SOURCE)
    controls = lifted[(table.obs.line == "here") & (table.obs.gene == "ctrl")].obsm["X_hvg"].astype(np.float32)
    np.testing.assert_allclose(found, np.corrcoef(controls[:, :11].T.astype(float)), atol=1e-9)
    assert names == GENES[:11]


def test_genes_come_in_the_order_of_the_model(path, observed):
    turned = {**CARD, "genes": GENES[::-1], "output_genes": GENES[::-1]}
    again = observe(path, turned, ENTRY, seed=3)
    assert tuple(again.gene.values) == tuple(again.input_gene.values) == GENES[::-1]
    for name in observed:
        np.testing.assert_allclose(again[name].reindex_like(observed[name]), observed[name], atol=1e-6)


def test_an_embedding_model_is_observed_in_genes_without_correlation(table, tmp_path):
    embedded = table.copy()
    embedded.obsm["X_emb"] = table.X[:, :3].copy()
    path = written(tmp_path, embedded)
    entry = {**ENTRY, "space": "X_emb", "genes": None, "normalisation": "none"}
    inputs = ["X_emb_0", "X_emb_1", "X_emb_2"]
    card = {"genes": inputs, "output_genes": GENES, "capabilities": ["predict"]}
    found = observe(path, card, entry, seed=3)
    np.testing.assert_allclose(found.delta_y, observe(path, CARD, ENTRY, seed=3).delta_y, atol=1e-6)
    assert "correlation" not in found
    assert "no gene_space" in found.attrs[NO_CORRELATION]
    matrix, names = coexpression_similarity(found, ["g0", "g1"])
    assert (matrix.shape, names) == ((0, 0), [])


def test_a_model_without_output_genes_is_observed_in_its_embedding(table, tmp_path):
    embedded = table.copy()
    embedded.obsm["X_emb"] = table.X[:, :3].copy()
    entry = {**ENTRY, "space": "X_emb", "genes": None, "normalisation": "none"}
    card = {"genes": ["X_emb_0", "X_emb_1", "X_emb_2"], "output_genes": [], "capabilities": ["predict"]}
    found = observe(written(tmp_path, embedded), card, entry, seed=3)
    expected = observe(written(tmp_path, table, "plain.h5ad"), CARD, ENTRY, seed=3)
    np.testing.assert_allclose(found.delta_y, expected.delta_y[:, :3], atol=1e-6)


@pytest.mark.parametrize(("who", "seen"), [("g1", "perturbed"), ("ctrl", "control")])
def test_values_that_are_not_finite_are_named(table, tmp_path, who, seen):
    broken = table.copy()
    row = np.flatnonzero((broken.obs.gene == who) & (broken.obs.line == "here"))[-1]
    broken.obsm["X_hvg"][row, 4] = np.nan
    with pytest.raises(PertprobeError, match="NaN or infinite values in g4"):
        observe(written(tmp_path, broken), CARD, ENTRY, seed=3)


def test_what_was_observed_survives_writing(observed, tmp_path):
    write_measurement(observed, tmp_path / "observed.nc")
    again = read_measurement(tmp_path / "observed.nc")
    for name in observed:
        np.testing.assert_array_equal(again[name], observed[name])
    assert again.attrs == observed.attrs
    assert again.input_gene_b.values.tolist() == list(GENES)


def test_references_keep_the_names_they_know_in_the_order_given(observed):
    matrix, names = similarity_reference(observed, ["other", "absent", "g0", "g1"])
    assert names == ["other", "g0", "g1"]
    shifts = observed.delta_y.sel(perturbation=names).values.astype(float)
    shifts -= shifts.mean(axis=0)
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in shifts] for a in shifts]
    np.testing.assert_allclose(matrix, expected, atol=1e-10)
    matrix, names = coexpression_similarity(observed, ["other", "g1", "g0", "g11"])
    assert names == ["g1", "g0", "g11"]
    r = float(observed.correlation.sel(input_gene="g1", input_gene_b="g0"))
    np.testing.assert_allclose(matrix, [[1, r, 0], [r, 1, 0], [0, 0, 0]], atol=1e-6)


def test_control_cells_are_never_whole_in_memory(tmp_path, monkeypatch):
    n, genes = 40_000, 240
    places = np.tile(np.arange(0, genes, 4), n)
    pointers = np.arange(0, len(places) + 1, genes // 4)
    x = sparse.csr_matrix((np.full(len(places), 0.5, np.float32), places, pointers), shape=(n, genes))
    obs = pd.DataFrame({"line": "here", "gene": "ctrl"}, index=[f"cell_{i}" for i in range(n)])
    names = [f"g{i}" for i in range(genes)]
    ad.AnnData(x, obs=obs, var=pd.DataFrame(index=names)).write_h5ad(tmp_path / "large.h5ad")
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", 2**20)
    tracemalloc.start()
    control_correlation(tmp_path / "large.h5ad", **{**SOURCE, "space": "X"})
    halved_sums(tmp_path / "large.h5ad", seed=0, **{**SOURCE, "space": "X"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * n * genes * 8


def test_papalexi_halves_agree_more_where_the_effect_is_known_to_be_strong(shared_path):
    path = shared_path("data/papalexi_thp1_mini_mit.h5ad")
    entry = {**ENTRY, "context": "rep_1", "context_column": "cell_context", "perturbation_column": "perturbation"}
    entry |= {"control": "non-targeting", "space": "X"}
    with h5ad.CellFile(path) as file:
        genes = file.gene_names("X")[0].tolist()
    found = observe(path, {**CARD, "genes": genes, "output_genes": genes}, entry, seed=0)
    first, second = found.delta_y_half.values
    r = pd.Series([np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True)], found.perturbation.values)
    pathway = ["IFNGR1", "IFNGR2", "JAK2", "STAT1"]
    assert r[pathway].min() > r.drop(pathway).median()
