"""Laws of the comparison of predicted with observed shifts, and of the gate on it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pertprobe.errors import PertprobeError
from pertprobe.files import write_table
from pertprobe.stages.quality import (
    gate,
    medians,
    program_quality,
    quality_table,
    read_program_quality,
    read_quality,
    response_correlation,
    split_half_ceiling,
)

PERTURBATIONS, GENES = ["a", "b", "c", "d"], [f"g{i}" for i in range(30)]


@pytest.fixture
def observed():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(4, 30)), PERTURBATIONS, GENES)


def test_a_perfect_prediction_has_correlation_one_at_any_scale(observed):
    assert response_correlation(3 * observed + 1, observed).r.tolist() == pytest.approx([1] * 4)
    assert response_correlation(-observed, observed).r.tolist() == pytest.approx([-1] * 4)


def test_correlation_is_that_of_numpy(observed):
    predicted = observed + np.random.default_rng(1).normal(size=observed.shape)
    expected = [np.corrcoef(predicted.loc[name], observed.loc[name])[0, 1] for name in PERTURBATIONS]
    np.testing.assert_allclose(response_correlation(predicted, observed).r, expected, rtol=1e-12)


def test_the_baseline_is_the_mean_of_the_other_perturbations(observed):
    found = response_correlation(observed, observed).r_mean_shift
    others = observed.drop(index="b").mean()
    assert found["b"] == pytest.approx(np.corrcoef(others, observed.loc["b"])[0, 1])


def test_the_baseline_uses_perturbations_that_are_not_predicted(observed):
    some = response_correlation(observed.loc[["b"]], observed)
    assert some.r_mean_shift["b"] == response_correlation(observed, observed).r_mean_shift["b"]


def test_genes_and_perturbations_are_matched_by_name(observed):
    shuffled = observed.sample(frac=1, axis=1, random_state=0).iloc[::-1]
    assert response_correlation(shuffled, observed).r.tolist() == pytest.approx([1] * 4)
    assert response_correlation(shuffled, observed).index.tolist() == PERTURBATIONS[::-1]


def test_a_constant_profile_has_no_correlation(observed):
    predicted = observed.copy()
    predicted.loc["c"] = 0.1
    assert response_correlation(predicted, observed).r.isna().tolist() == [False, False, True, False]


def test_one_perturbation_has_no_baseline(observed):
    assert response_correlation(observed.iloc[:1], observed.iloc[:1]).r_mean_shift.isna().all()


def test_different_genes_or_no_common_perturbation_are_refused(observed):
    with pytest.raises(PertprobeError, match="g0"):
        response_correlation(observed.drop(columns="g0"), observed)
    with pytest.raises(PertprobeError, match="no perturbation"):
        response_correlation(observed.rename(index=str.upper), observed)


def measured(whole, halves, n_cells=7):
    """Return what `observe` returns of these shifts [P, G] and [2, P, G]."""
    coords = {"perturbation": whole.index.tolist(), "gene": whole.columns.tolist()}
    dims = ("perturbation", "gene")
    found = {"delta_y": (dims, whole.to_numpy()), "delta_y_half": (("half", *dims), np.asarray(halves))}
    return xr.Dataset({**found, "n_cells": ("perturbation", [n_cells] * len(whole))}, coords)


def test_the_table_says_what_was_seen_and_how_many_cells_there_were(observed):
    table = quality_table(observed, measured(observed, [observed, observed]), seen={"a": "here"})
    assert table.columns.tolist() == [
        *("perturbation", "seen", "r", "r_mean_shift", "r_halves", "ceiling", "r_disattenuated", "n_cells"),
    ]
    assert table.seen.tolist() == ["here", "unknown", "unknown", "unknown"]
    assert table.n_cells.tolist() == [7] * 4


def test_the_table_comes_back_as_it_was_written(observed, tmp_path):
    table = quality_table(observed, measured(observed, [observed, -observed]), seen={"a": "never"})
    write_table(table.assign(perturbation=["NA", "", "1", "b"]), tmp_path / "quality.tsv")
    found = read_quality(tmp_path / "quality.tsv")
    assert found.perturbation.tolist() == ["NA", "", "1", "b"]
    there, here = (each.drop(columns="perturbation") for each in (found, table))
    pd.testing.assert_frame_equal(there, here, check_dtype=False, rtol=1e-9)


def test_halves_that_agree_are_no_limit_and_halves_that_do_not_give_no_ceiling(observed):
    same = quality_table(observed, measured(observed, [observed, 2 * observed]), seen={})
    assert same.ceiling.tolist() == pytest.approx([1] * 4)
    opposite = quality_table(observed, measured(observed, [observed, -observed]), seen={})
    assert opposite.r_halves.tolist() == pytest.approx([-1] * 4)
    assert opposite[["ceiling", "r_disattenuated"]].isna().all(axis=None)


def test_a_half_without_cells_gives_no_ceiling(observed):
    halves = np.stack([observed, observed])
    halves[1, 2] = np.nan
    table = quality_table(observed, measured(observed, halves), seen={})
    assert table.r_halves.isna().tolist() == table.ceiling.isna().tolist() == [False, False, True, False]
    assert table.r.notna().all()


def test_halves_are_matched_to_predictions_by_name(observed):
    rng = np.random.default_rng(2)
    halves = np.stack([observed + rng.normal(size=observed.shape) for _ in range(2)])
    some = observed.loc[["d", "a"], GENES[::-1]]
    found = quality_table(some, measured(observed, halves), seen={})
    expected = [np.corrcoef(halves[0, i], halves[1, i])[0, 1] for i in (3, 0)]
    assert found.r_halves.tolist() == pytest.approx(expected)


def test_the_ceiling_is_spearman_and_browns():
    np.testing.assert_allclose(split_half_ceiling([1, 0.5, 0.1]), np.sqrt([1, 2 / 3, 0.2 / 1.1]))
    assert np.isnan(split_half_ceiling([0, -0.3, np.nan])).all()


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_a_perfect_model_reaches_the_ceiling_and_no_more(noise):
    rng = np.random.default_rng(int(10 * noise))
    names, genes = [f"p{i}" for i in range(60)], [f"g{i}" for i in range(2000)]
    truth = pd.DataFrame(rng.normal(size=(60, 2000)), names, genes)
    halves = truth.to_numpy() + rng.normal(scale=noise * np.sqrt(2), size=(2, 60, 2000))
    table = quality_table(truth, measured(truth * 0 + halves.mean(axis=0), halves), seen={})
    assert table.r.mean() == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.01)
    assert table.ceiling.mean() == pytest.approx(table.r.mean(), abs=0.02)
    assert table.r_disattenuated.mean() == pytest.approx(1, abs=0.03)


# The gate


def table_of(*rows):
    """Return a quality table of (perturbation, seen, r, r_mean_shift)."""
    table = pd.DataFrame(rows, columns=["perturbation", "seen", "r", "r_mean_shift"])
    return table.assign(r_halves=0.5, ceiling=0.8)


def judged(table, genes, minimum=1):
    return program_quality(table, {"P": genes}, minimum).iloc[0]


def test_held_out_perturbations_decide_where_there_are_any():
    table = table_of(("a", "here", 0.9, 0.1), ("b", "elsewhere", 0.2, 0.3), ("c", "never", 0.1, 0.3))
    row = judged(table, ["a", "b", "c", "absent"])
    assert (row.n, row.n_heldout, row.which, row.beats) == (3, 2, "heldout", False)
    assert (row.r, row.r_mean_shift, row.ceiling) == pytest.approx((0.15, 0.3, 0.8))
    assert judged(table, ["a"]).which == "all"
    assert judged(table, ["a"]).beats


def test_unknown_perturbations_are_not_held_out():
    row = judged(table_of(("a", "unknown", 0.9, 0.1), ("b", "here", 0.8, 0.2)), ["a", "b"])
    assert (row.n_heldout, row.which, row.beats, row.reason) == (0, "all", True, "")


def test_as_good_as_the_mean_shift_is_not_better():
    assert not judged(table_of(("a", "here", 0.3, 0.3)), ["a"]).beats


def test_a_constant_prediction_counts_as_zero():
    table = table_of(("a", "here", np.nan, 0.2), ("b", "here", np.nan, 0.2), ("c", "here", 0.9, 0.2))
    row = judged(table, ["a", "b", "c"])
    assert (row.n, row.r, row.beats) == (3, 0.0, False)


def test_halves_that_do_not_agree_pull_the_ceiling_down():
    table = table_of(("a", "here", 0.1, 0.2), ("b", "here", 0.1, 0.2), ("c", "here", 0.1, 0.2))
    table[["r_halves", "ceiling"]] = [[-0.1, np.nan], [-0.2, np.nan], [0.5, 0.8]]
    assert medians(table)["ceiling"] == 0
    table.loc[:1, "r_halves"] = np.nan  # no halves at all
    assert medians(table)["ceiling"] == 0.8


@pytest.mark.parametrize(("genes", "minimum", "needed"), [(["x"], 1, "0, needed: 1"), (["a"], 3, "1, needed: 3")])
def test_too_few_observed_perturbations_leave_the_gate_open_and_say_so(genes, minimum, needed):
    table = program_quality(table_of(("a", "here", 0.1, 0.9)), {"P": genes}, minimum)
    assert table.beats.isna().all()
    assert table.reason[0] == f"observed perturbations: {needed}"
    assert gate(table, "P") == ""


def test_a_perturbation_without_a_baseline_says_nothing():
    assert judged(table_of(("a", "here", 0.9, np.nan)), ["a"]).n == 0


def test_the_gate_is_a_sentence_where_a_program_is_below_it():
    table = table_of(("a", "never", 0.16, 0.34), ("b", "never", 0.9, 0.1), ("c", "never", 0.1, 0.2))
    found = program_quality(table, {"bad": ["a"], "good": ["b"], "empty": [], "worse": ["a", "c"]})
    assert gate(found, "bad") == (
        "quality gate: over 1 held-out perturbation the median r of predicted with observed delta_y, 0.16, does not "
        "beat the mean shift's 0.34"
    )
    assert "over 2 held-out perturbations" in gate(found, "worse")
    assert gate(found, "good") == gate(found, "empty") == ""
    with pytest.raises(KeyError):
        gate(found, "absent")


def test_program_quality_comes_back_as_it_was_written(tmp_path):
    found = program_quality(table_of(("a", "never", 0.16, 0.34)), {"NA": ["a"], "empty": []})
    write_table(found, tmp_path / "program_quality.tsv")
    again = read_program_quality(tmp_path / "program_quality.tsv")
    pd.testing.assert_frame_equal(again, found, check_dtype=False, rtol=1e-9)
    assert gate(again, "NA") == gate(found, "NA") != ""


def test_a_run_without_programs_has_an_empty_table(tmp_path):
    write_table(program_quality(table_of(("a", "here", 0.5, 0.1)), {}), tmp_path / "table.tsv")
    assert read_program_quality(tmp_path / "table.tsv").empty
