"""Agreement beyond rivals, and shares of a ceiling: beside slow obvious versions, and laws."""

import numpy as np
import pytest
from scipy.stats import rankdata, ttest_1samp

from pertprobe.statistics.fidelity import full_length, matched_beyond, own_ranks, share_of, t_interval
from pertprobe.statistics.matched import contrasts, paired_profile_test


@pytest.fixture
def profiles():
    rng = np.random.default_rng(0)
    own = np.array([0, 3, 7, -1])
    return rng.normal(size=(4, 12)), rng.normal(size=(4, 12)), own, rng.normal(size=(3, 4, 12))


def slowly(predicted, observed, own, rivals, k, j):
    """Return r of k with j by the book: ranks without a profile's own gene, residuals by least squares."""

    def ranks(profile, gene):
        found = np.zeros(12)
        kept = [g for g in range(12) if g != gene]
        found[kept] = rankdata(profile[kept]) - rankdata(profile[kept]).mean()
        return found

    ours, theirs = ranks(predicted[k], own[k]), ranks(observed[j], own[j])
    if own[k] >= 0:
        theirs[own[k]] = 0
    if rivals is not None:
        design = np.stack([ranks(rival[k], own[k]) for rival in rivals], axis=1)
        ours, theirs = (each - design @ np.linalg.lstsq(design, each, rcond=None)[0] for each in (ours, theirs))
    return ours @ theirs / np.sqrt(ours @ ours * (theirs @ theirs))


@pytest.mark.parametrize("with_rivals", [False, True])
def test_correlations_are_those_of_the_slow_version(profiles, with_rivals):
    predicted, observed, own, rivals = profiles
    given = rivals if with_rivals else None
    found = matched_beyond(predicted, observed, own, given)
    expected = [[slowly(predicted, observed, own, given, k, j) for j in range(4)] for k in range(4)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_profile_that_is_a_rival_agrees_with_nothing_beyond_it(profiles):
    predicted, observed, own, rivals = profiles
    found = matched_beyond(predicted, observed, own, np.concatenate([rivals, predicted[None]]))
    assert (found == 0).all()


def test_what_is_beyond_rivals_does_not_see_what_is_added_along_them_in_ranks(profiles):
    predicted, observed, own, _ = profiles
    rivals = np.exp(3 * predicted)[None]  # a monotone change of a profile is the profile
    assert (matched_beyond(predicted, observed, own, rivals) == 0).all()


def test_the_own_gene_has_no_say(profiles):
    predicted, observed, own, rivals = profiles
    before = matched_beyond(predicted, observed, own, rivals)
    for each in (predicted, observed, *rivals):
        each[np.arange(3), own[:3]] = 1e6
    np.testing.assert_array_equal(matched_beyond(predicted, observed, own, rivals), before)


def test_a_constant_profile_agrees_with_nothing(profiles):
    predicted, observed, own, rivals = profiles
    predicted[1] = 2.0
    found = matched_beyond(predicted, observed, own, rivals)
    assert (found[1] == 0).all()
    assert (found[[0, 2, 3]] != 0).all()


def test_order_of_outputs_and_monotone_changes_do_nothing(profiles):
    predicted, observed, own, rivals = profiles
    order = np.random.default_rng(1).permutation(12)
    place = np.append(np.argsort(order), -1)
    mixed = matched_beyond(predicted[:, order], observed[:, order], place[own], rivals[..., order])
    np.testing.assert_allclose(mixed, matched_beyond(predicted, observed, own, rivals), atol=1e-12)
    np.testing.assert_array_equal(own_ranks(np.exp(predicted), own), own_ranks(predicted, own))


def test_contrasts_are_what_the_test_of_a_program_averages():
    rng = np.random.default_rng(2)
    r, groups, members = rng.normal(size=(20, 20)), np.arange(20) % 4, [1, 5, 6, 11]
    result = paired_profile_test(r, groups, 10, rng, members=members)
    each = contrasts(r, groups, result.genes, members)
    assert each.mean() == pytest.approx(result.test.estimate)
    assert each[0] == pytest.approx(r[1, 1] - r[1, [9, 13, 17]].mean())


def test_contrasts_of_all_genes_leave_out_what_cannot_be_a_partner():
    r = np.arange(16.0).reshape(4, 4)
    usable = np.array([True, True, True, False])
    found = contrasts(r, np.zeros(4), [0, 1, 2], usable=usable)
    np.testing.assert_allclose(found, [0 - 1.5, 5 - 5, 10 - 8.5])


def test_the_interval_is_that_of_student():
    values = np.random.default_rng(3).normal(size=9)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(t_interval(values), (expected.low, expected.high))
    assert np.isnan(t_interval([1.0])).all()


def test_halves_at_full_length():
    np.testing.assert_allclose(full_length([0.5, 0.5]), [2 / 3, 2 / 3])
    np.testing.assert_allclose(full_length([-0.2, -0.4]), [-0.4, -0.8])
    assert full_length([]).size == 0


def test_ends_of_a_share_are_where_a_test_of_it_turns():
    rng = np.random.default_rng(4)
    ceilings = 1 + 0.3 * rng.normal(size=15)
    values = 0.4 * ceilings + 0.2 * rng.normal(size=15)
    found = share_of(values, ceilings)
    for end in (found.low, found.high):
        assert ttest_1samp(values - end * ceilings, 0).pvalue == pytest.approx(0.05)
    assert found.low < found.estimate < found.high


def test_a_share_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(5), []
    for _ in range(1000):
        ceilings = 0.5 + 0.5 * rng.normal(size=10)
        values = 0.3 * 0.5 + 0.4 * rng.normal(size=10)
        found = share_of(values, ceilings)
        covered.append(np.isnan(found.low) or found.low <= 0.3 <= found.high)
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("ceilings", [[-1.0, -2.0, 0.5], [5.0, -4.9, 0.1]])
def test_no_share_of_a_ceiling_that_is_not_known_to_be_above_zero(ceilings):
    found = share_of([1.0, 2.0, 3.0], ceilings)
    assert np.isnan(found.low)
    assert np.isnan(found.high)
