"""Laws of the comparison of predicted with observed shifts."""

import numpy as np
import pandas as pd
import pytest

from pertprobe.errors import PertprobeError
from pertprobe.quality import quality_table, response_correlation

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


def test_the_table_says_what_was_seen_and_how_many_cells_there_were(observed):
    table = quality_table(observed, observed, seen={"a": "here"}, n_cells=dict.fromkeys(PERTURBATIONS, 7))
    assert table.columns.tolist() == ["perturbation", "seen", "r", "r_mean_shift", "n_cells"]
    assert table.seen.tolist() == ["here", "unknown", "unknown", "unknown"]
    assert table.n_cells.tolist() == [7] * 4
