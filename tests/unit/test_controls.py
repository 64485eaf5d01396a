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
    table = with_controls(rows, primary, controlled)
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


def scored(values, role="subject", **more):
    """Return a row of a mean of values by unit, that is one standard deviation of its null where it is 2."""
    return row(float(np.mean(list(values.values()))) / 2.0, role=role, per_unit=values, **more)


def by_name(*values):
    return dict(zip("abcdefghijklmno", values, strict=False))


RIVALS = ["coexpression", "covariation_pca", "covariation_autoencoder"]


def test_the_excess_is_over_a_rival_with_the_interval_of_paired_differences():
    mine, theirs = by_name(4.0, 6.0, 5.0, 9.0), by_name(3.0, 4.0, 4.0, 5.0)
    found = compared([scored(mine), scored(theirs, "coexpression")])
    apart = (np.array(list(mine.values())) - np.array(list(theirs.values()))) / 2.0
    low, high = scipy.stats.t.interval(0.95, 3, apart.mean(), scipy.stats.sem(apart))
    ends = [found.excess_rivals, found.excess_rivals_low, found.excess_rivals_high]
    assert ends == pytest.approx([apart.mean(), low, high])


def test_units_of_one_side_alone_count_there():
    mine, theirs = by_name(4.0, 6.0, 5.0, 9.0), {"x": 1.0, "y": 2.5, "z": 1.5}
    found = compared([scored(mine), scored(theirs, "coexpression")])
    spread = sum(np.var(list(each.values())) / len(each) / 4.0 for each in (mine, theirs)) * 3 / 2
    half = scipy.stats.t.ppf(0.975, 2) * np.sqrt(spread)
    assert found.excess_rivals_high - found.excess_rivals == pytest.approx(half)


def test_the_strongest_rival_is_the_one_of_the_smallest_lower_end():
    mine, certain = by_name(5.0, 6.0, 7.0), by_name(4.0, 5.0, 6.0)  # exactly 1 less
    unsure = by_name(0.0, 9.0, 1.0)
    rows = [scored(mine), scored(certain, RIVALS[0]), scored(unsure, RIVALS[1])]
    assert compared(rows[:2]).excess_rivals_low == pytest.approx(0.5)
    found = compared(rows)
    assert found.excess_rivals == pytest.approx((6 - 10 / 3) / 2)
    assert found.excess_rivals_low < 0


@pytest.mark.parametrize("role", ["lookup", "network", "covariation", "planted", "observed"])
def test_what_is_not_co_variation_alone_is_no_rival(role):
    assert np.isnan(compared([scored(by_name(1.0, 2.0, 3.0)), scored(by_name(9.0, 9.0, 8.0), role)]).excess_rivals)


def test_a_rival_that_could_not_be_asked_is_none_and_one_without_units_leaves_no_interval():
    mine, rival = scored(by_name(5.0, 6.0, 7.0)), scored(by_name(1.0, 1.0, 1.0), "coexpression")
    refused = scored(by_name(9.0, 9.0, 9.0), "covariation_pca") | {"evaluable": False}
    assert compared([mine, rival, refused]).excess_rivals == pytest.approx(2.5)
    found = compared([mine, rival, row(0.0, role="covariation_pca")])
    assert found.excess_rivals == pytest.approx(3.0)
    assert np.isnan(found.excess_rivals_low)


def test_a_rival_that_is_the_model_itself_is_not_exceeded():
    values = by_name(*np.random.default_rng(0).normal(3.0, 1.0, 9))
    found = compared([scored(values), *(scored(values, role) for role in RIVALS)])
    assert (found.excess_rivals, found.excess_rivals_low, found.excess_rivals_high) == (0.0, 0.0, 0.0)


def test_a_rival_that_ranks_no_unit_above_another_leaves_the_spread_of_the_model():
    mine, flat = by_name(0.8, 0.9, 0.7), by_name(0.5, 0.5, 0.5)
    nothing = scored(flat, "coexpression") | {"effect": 0.0, "null_sd": 0.0}
    found = compared([scored(mine), nothing])
    assert found.excess_rivals_high - found.excess_rivals == pytest.approx(
        scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(list(mine.values())) / 2.0
    )


@pytest.mark.parametrize(("n", "rivals"), [(3, 1), (5, 1), (12, 1), (12, 3)])
@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_one_as_good_as_its_rivals_exceeds_them_once_in_twenty_and_one_far_better_nearly_always(n, rivals, shared):
    rng = np.random.default_rng(n)
    common = shared * rng.normal(size=(500, 1, n))  # what makes a unit easy for everyone
    values = common + rng.normal(size=(500, 1 + rivals, n))
    shares = []
    for better in (0.0, 6.0):
        found = [
            testing._against_rivals(_asked(mine + better), map(_asked, others))["excess_rivals_low"] > 0
            for mine, *others in values
        ]
        shares.append(np.mean(found))
    assert shares[0] < 0.05
    assert shares[1] > (0.8 if n == 3 else 0.99)


def _asked(values):
    return testing.Comparable(float(values.mean()), 1.0, by_name(*values))


def test_controls_themselves_get_no_controls():
    table = with_controls([row(3.0), *copies(1.0), row(2.0, role="planted")], "s", "s")
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
    table = with_controls(rows, "s", "s", correlations=("s",))
    assert table[table.role == "subject"].excess_rivals.item() == pytest.approx(-0.4)
    assert compared([row(9.0), row(1.0, role="coexpression")]).excess_rivals == pytest.approx(8.0)
