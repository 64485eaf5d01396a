"""Controls beside a row: copies, co-expression, and which copies are compared for a pair."""

import numpy as np
import pytest
import scipy

from pertprobe import evidence
from pertprobe.stages import testing
from pertprobe.stages.testing import cascade_statistic, pairs_of_copies, stages_redrawn, with_controls

WHO = {"probe": "one", "model": "m", "context": "c", "regime": "fewshot"}


def row(z, statistic="s", role="subject", copy=0, program="P", **values):
    """Return a row whose effect is `z` standard deviations of its null."""
    numbers = {"estimate": 1.0 + 2.0 * z, "null_mean": 1.0, "null_sd": 2.0, "effect": 2.0 * z}
    return evidence.row({**WHO, "role": role, "copy": copy}, statistic=statistic, program=program, **numbers, **values)


def copies(*sizes, statistic="s", role="redrawn", **values):
    return [row(z, statistic, role, i, **values) for i, z in enumerate(sizes, start=1)]


def compared(rows, primary="s", controlled="s"):
    table = with_controls(evidence.frame(rows), primary, controlled)
    return table[(table.role == "subject") & (table.statistic == primary)].iloc[0]


def test_the_excess_is_over_the_mean_of_copies_with_the_interval_of_one_more():
    sizes = np.array([1.0, 2.5, -1.0, 0.0])
    found = compared([row(3.0), *copies(1.0, 2.5), *copies(-1.0, 0.0, role="shuffled")])
    half = scipy.stats.t.ppf(0.95, 3) * sizes.std(ddof=1) * np.sqrt(1 + 1 / 4)
    ends = [found.excess_redrawn, found.excess_redrawn_low, found.excess_redrawn_high]
    assert ends == pytest.approx([3 - 0.625, 3 - 0.625 - half, 3 - 0.625 + half])


def test_the_lower_end_is_above_zero_for_one_copy_in_twenty():
    z = np.random.default_rng(0).normal(size=(4000, 11))
    low = [
        testing._against_copies(own, others)["excess_redrawn_low"]
        for own, *others in z
        for others in [np.array(others)]
    ]
    assert np.mean(np.array(low) > 0) == pytest.approx(0.05, abs=0.014)


def test_one_copy_has_no_interval():
    found = compared([row(3.0), *copies(1.0)])
    assert found.excess_redrawn == pytest.approx(2.0)
    assert np.isnan(found.excess_redrawn_low)


def test_statistics_are_compared_in_units_of_their_own_null():
    numbers = {"estimate": 400.0, "null_mean": 300.0, "null_sd": 200.0, "effect": 100.0}
    large_raw = row(0.5, role="redrawn", copy=1) | numbers
    assert compared([row(1.0), large_raw]).excess_redrawn == pytest.approx(0.5)


def test_copies_speak_in_the_statistic_they_have():
    rows = [row(9.0), row(1.0, "raw activations"), *copies(2.0, statistic="raw activations")]
    assert compared(rows, "s", "raw activations").excess_redrawn == pytest.approx(-1.0)
    rows[1] = row(2.5, "raw activations")
    assert compared(rows, "s", "raw activations").excess_redrawn == pytest.approx(0.5)


@pytest.mark.parametrize(
    "others",
    [
        [],
        copies(0.0, program="another"),
        copies(0.0, panel="another"),
        [{**each, "evaluable": False} for each in copies(0.0)],
        copies(0.0, statistic=cascade_statistic("s", "cascade_mix")),
    ],
)
def test_without_copies_of_the_same_question_nothing_is_said(others):
    found = compared([row(3.0), *others])
    assert np.isnan([found.excess_redrawn, found.excess_redrawn_low]).all()


def test_a_copy_without_any_effect_counts_as_zero():
    flat = [{**row(0.0, role="redrawn", copy=i), "null_sd": 0.0} for i in (1, 2)]
    assert compared([row(1.0), *flat]).excess_redrawn_low == 1.0
    assert compared([row(-1.0), *flat]).excess_redrawn_low == -1.0


@pytest.mark.parametrize(("rival", "exceeds"), [(1.0, True), (2.0, False), (5.0, False)])
def test_co_expression_is_exceeded_or_not(rival, exceeds):
    assert compared([row(2.0), row(rival, role="coexpression")]).exceeds_coexpression == exceeds


def test_controls_themselves_get_no_controls():
    table = with_controls(evidence.frame([row(3.0), *copies(1.0), row(2.0, role="planted")]), "s", "s")
    assert table[table.role != "subject"].excess_redrawn.isna().all()


def test_pairs_that_share_a_seed_are_compared_with_copies_of_one_seed_all_others_with_copies_of_two():
    names = ["redrawn_1", "redrawn_2", "redrawn_3", "shuffled_1", "shuffled_2", "planted", "cascade_mix"]
    common = pairs_of_copies(names, names, common_seed=True)
    assert common == [(name, name) for name in names]
    apart = dict(pairs_of_copies(names, names, common_seed=False))
    assert apart == {
        "redrawn_1": "redrawn_2", "redrawn_2": "redrawn_3", "redrawn_3": "redrawn_1",
        "shuffled_1": "shuffled_2", "shuffled_2": "shuffled_1", "planted": "planted", "cascade_mix": "cascade_mix",
    }  # fmt: skip


def test_a_single_copy_cannot_be_compared_apart_nor_one_that_the_reference_lacks():
    assert pairs_of_copies(["redrawn_1"], ["redrawn_1"], common_seed=False) == []
    assert pairs_of_copies(["redrawn_1", "lookup"], ["planted"], common_seed=False) == []
    assert pairs_of_copies(["redrawn_1", "lookup"], ["planted"], common_seed=True) == []


def test_cascades_stand_under_a_name_of_their_own():
    assert cascade_statistic("rank_score", "redrawn_1") == "rank_score"
    name = cascade_statistic("rank_score", "cascade_encode_cells")
    assert stages_redrawn(name, "rank_score") == "encode_cells"
    assert stages_redrawn("rank_score", "rank_score") == ""


def test_correlations_are_compared_as_they_are():
    rows = [row(9.0) | {"effect": 0.2}, row(1.0, role="coexpression") | {"effect": 0.6}]
    table = with_controls(evidence.frame(rows), "s", "s", correlations=("s",))
    assert not table[table.role == "subject"].exceeds_coexpression.item()
    assert compared([row(9.0), row(1.0, role="coexpression")]).exceeds_coexpression
