"""The census: one pass in blocks says what a slow count of all cells says, and each kind of wrong value is named."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_screen import GENES, SOURCE, N, counted, labels, logged, screen

from pertprobe.data import h5ad
from pertprobe.data.cells import CellSource
from pertprobe.data.census import take_census
from pertprobe.data.census_findings import cell_findings, group_findings, relative_scale
from pertprobe.data.columns import column_findings
from pertprobe.data.scale import scale_of, scales_of_groups


def findings(path, **changes):
    """Return check -> finding of all that a census says of the cells."""
    source = {**SOURCE, **changes}
    census, where = take_census(path, **source), CellSource(**source)
    found = [*cell_findings("cells.a", census, where)]
    found += group_findings("cells.a", census, scales_of_groups(path, census, **source), where)
    return {each.what: each for each in found}


def slow_census(values, obs, wanted):
    """Return what a count of all cells at once gives, cell by cell and column by column."""
    kept = np.array([label not in ("", "nan") for label in obs["gene"]])
    values, obs = values[kept][:, wanted], obs[kept]
    finite = np.where(np.isfinite(values), values, 0)
    groups = {}
    for row, gene, batch in zip(finite, obs["gene"], obs["batch"], strict=True):
        groups.setdefault((batch, gene != "ctrl"), []).append(row.astype(float))
    return {
        "total": [float(sum(map(float, row))) for row in finite],
        "largest": [max(map(float, row)) for row in finite],
        "smallest": [min(map(float, row)) for row in finite],
        "n_bad": [sum(not np.isfinite(x) for x in row) for row in values],
        "n_expressed": [sum(x != 0 for x in row) for row in finite],
        "n_whole": [sum(x != 0 and float(x).is_integer() for x in row) for row in finite],
        "columns": [sum(not np.isfinite(x) for x in column) for column in values.T],
        "means": {key: np.mean(rows, axis=0) for key, rows in groups.items()},
        "alike": [
            any((row == other).all() for j, other in enumerate(finite) if i != j) for i, row in enumerate(finite)
        ],
    }


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6), form=st.sampled_from(["dense", "csr", "csc"]), bad=st.integers(0, 3),
    copies=st.integers(0, 3), block=st.sampled_from([200, 4000, 2**25]), n_genes=st.integers(1, len(GENES)),
)  # fmt: skip
def test_blocks_count_what_a_slow_count_counts(tmp_path, monkeypatch, seed, form, bad, copies, block, n_genes):
    rng = np.random.default_rng(seed)
    values, obs = logged(counted(seed)), labels()
    values[rng.integers(N, size=20)] *= -1
    for _ in range(bad):
        values[rng.integers(N), rng.integers(len(GENES))] = rng.choice([np.nan, np.inf, -np.inf])
    for _ in range(copies):
        values[rng.integers(N)] = values[rng.integers(N)]
    obs.iloc[rng.integers(N, size=5), 0] = "nan"
    wanted = np.sort(rng.permutation(len(GENES))[:n_genes])
    monkeypatch.setattr(h5ad, "BLOCK_BYTES", block)
    path = screen(tmp_path / "cells.h5ad", values, obs, form)
    found = take_census(path, [GENES[i] for i in wanted], **SOURCE)
    slow = slow_census(values, obs, wanted)
    for name in ("largest", "smallest", "n_bad", "n_expressed", "n_whole"):
        np.testing.assert_array_equal(found.cells[name], slow[name])
    np.testing.assert_allclose(found.cells["total"], slow["total"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.n_bad, slow["columns"])
    np.testing.assert_array_equal(found.cells["code"].duplicated(keep=False), slow["alike"])
    for row, mean in zip(found.groups.itertuples(), found.means, strict=True):
        np.testing.assert_allclose(mean, slow["means"][row.batch, row.perturbed], rtol=1e-5, atol=1e-6)
    assert found.n_unlabelled == (obs["gene"] == "nan").sum()


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_cells_as_they_should_be_have_no_finding(tmp_path, form):
    found = findings(screen(tmp_path / "cells.h5ad", form=form))
    assert {each.level for each in found.values()} == {"good"}
    assert found["log1p"].words == "values are log1p of multiples of one molecule, in all groups"


def test_a_value_that_is_not_finite_is_found_wherever_it_is(tmp_path):
    values = logged(counted())
    values[N - 1, 7] = np.nan
    said = findings(screen(tmp_path / "cells.h5ad", values))["finite_values"]
    assert (said.level, said.n, said.of) == ("fault", 1, N)
    assert (
        "NaN or infinite values (columns: G07) in 1 of 240 cells (first: c239; all perturbed; in batches b1)"
        in said.words
    )


def test_empty_identical_and_unlabelled_cells_are_noted_with_their_number(tmp_path):
    values, obs = logged(counted()), labels()
    values[:6] = 0
    values[100] = values[101]
    obs.iloc[120:132, 0] = ["", "nan", "NaN", "None"] * 3
    found = findings(screen(tmp_path / "cells.h5ad", values, obs))
    assert found["empty_cells"].words.startswith("space 'X': nothing but zeros in 6 of 228 cells (first: c000")
    assert found["identical_cells"].words.startswith("space 'X': the same values as another cell in 2 of 228 cells")
    assert (
        found["labelled_cells"].words
        == "12 of 240 cells of the context have no label in obs['gene']: nothing reads them"
    )
    assert {found[name].level for name in ("empty_cells", "identical_cells", "labelled_cells")} == {"note"}


def test_a_missing_label_written_out_is_a_label_where_it_is_the_control(tmp_path):
    obs = labels().replace({"gene": {"ctrl": "None"}})
    census = take_census(screen(tmp_path / "cells.h5ad", obs=obs), **{**SOURCE, "control": "None"})
    assert (~census.cells["perturbed"]).sum() == 80


def test_a_matrix_most_of_whose_cells_are_alike_is_refused(tmp_path):
    values = logged(counted())
    values[: N // 2 + 10] = values[0]
    assert findings(screen(tmp_path / "cells.h5ad", values))["identical_cells"].level == "fault"


def test_perturbed_cells_that_were_not_logged_are_found(tmp_path):
    values = logged(counted())
    values[80:] = counted()[80:]
    said = findings(screen(tmp_path / "cells.h5ad", values))["scale_of_cells"]
    assert said.level == "fault"
    assert "values that are not logged" in said.words
    assert "160 of 240 cells (first: c080; all perturbed)" in said.words


def test_counts_must_be_whole_where_counts_are_expected(tmp_path):
    path = screen(tmp_path / "cells.h5ad")
    assert "fractions where counts are expected" in findings(path, normalisation="counts")["scale_of_cells"].words
    path = screen(tmp_path / "counts.h5ad", counted().astype(np.float32))
    found = findings(path, normalisation="counts")
    assert found["scale_of_cells"].level == "good"
    assert found["log1p"].level == "uncheckable"


SCALES = {
    "log2(1 + x)": lambda x: x / np.log(2), "log10(1 + x)": lambda x: x / np.log(10), "log1p taken twice": np.log1p,
    "0.50 times log1p": lambda x: x / 2, "1.50 times log1p": lambda x: x * 1.5, "1.37 times log1p": lambda x: x * 1.37,
    "not logged": lambda x: np.expm1(x) / 2,
    "shares of a total, so small that a logarithm changes nothing": lambda x: np.expm1(x) / 1e5,
}  # fmt: skip


@pytest.mark.parametrize("scale", SCALES)
def test_another_scale_is_named_from_the_counts_behind_it(tmp_path, scale):
    values = SCALES[scale](logged(counted()).astype(float)).astype(np.float32)
    said = findings(screen(tmp_path / "cells.h5ad", values))["log1p"]
    assert said.level == "fault"
    assert "is not log1p of what was counted, as normalisation says" in said.words
    assert scale in said.words


@pytest.mark.parametrize("change", [lambda x: x - x.mean(axis=0), lambda x: x + 0.1 * np.sin(1e3 * x), np.zeros_like])
def test_values_without_a_ladder_are_uncheckable_and_nothing_worse(change):
    assert scale_of(change(logged(counted()).astype(float))) == ""


def test_one_batch_at_three_times_the_scale_is_named(tmp_path):
    values, obs = logged(counted()), labels()
    values[(obs["batch"] == "b1").to_numpy()] *= 3
    found = findings(screen(tmp_path / "cells.h5ad", values))
    assert "control cells of batch 'b1': 3.0" in found["log1p"].words
    smooth = values + 0.02 * np.random.default_rng(0).random(values.shape, np.float32)
    found = findings(screen(tmp_path / "smooth.h5ad", smooth))
    assert found["log1p"].level == "uncheckable"
    assert found["scale_of_groups"].level == "fault"
    assert "batch 'b1'" in found["scale_of_groups"].words


def test_relative_scale_is_a_slope_on_the_median():
    middle = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(relative_scale(np.stack([middle, middle, 3 * middle])), [1, 1, 3])
    np.testing.assert_allclose(relative_scale(np.zeros((3, 3))), 1)


def columns(path, space="X_hvg", **changes):
    source = {**SOURCE, "space": space, **changes}
    return list(column_findings("cells.a", path, GENES, **source))


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_two_columns_that_changed_places_are_named(tmp_path, form):
    values = logged(counted())
    swapped = values.copy()
    swapped[:, [3, 9]] = values[:, [9, 3]]
    (good,) = columns(screen(tmp_path / "good.h5ad", values, form=form, obsm={"X_hvg": values}))
    assert good.words == "every column agrees with X under its name"
    said = columns(screen(tmp_path / "cells.h5ad", values, form=form, obsm={"X_hvg": swapped}))[0]
    assert (said.level, said.n, said.of) == ("fault", 2, 40)
    assert "2 of 40 columns do not agree with X under these names: G03 (r " in said.words
    assert "most like G09" in said.words


def test_columns_that_nothing_tells_are_said_to_be_uncheckable(tmp_path):
    values = logged(counted())
    values[:, 5] = 0
    (said,) = columns(screen(tmp_path / "cells.h5ad", values, obsm={"X_hvg": values}))
    assert (said.level, said.n) == ("uncheckable", 1)
    assert "nothing in X decides 1 of 40 of them: G05" in said.words
    (own,) = columns(screen(tmp_path / "own.h5ad", values), space="X")
    assert "have names of their own" in own.words
