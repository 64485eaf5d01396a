"""What common axes foretell of pairs, against the obvious: known axes, and agreement by a shared axis alone."""

import numpy as np
import pytest
from scipy.stats import binom

from pertprobe.statistics.axes import IN_PAIRS, LARGE, axes_between, pairs_without_axes
from pertprobe.statistics.matched import paired_profile_test, strata
from pertprobe.statistics.similarity import centred

DRAWS = 120
AT_MOST = binom.ppf(0.999, DRAWS, 0.05) / DRAWS


def rng(seed=0):
    return np.random.default_rng(seed)


def of_axes(n, axes, seed=0):
    """Return pairs that are means and axes alone."""
    random = rng(seed)
    rows, columns = random.normal(size=(2, n))
    return rows[:, None] + columns + random.normal(size=(n, axes)) @ random.normal(size=(n, axes)).T


@pytest.mark.parametrize("n", [30, LARGE + 30])
@pytest.mark.parametrize("axes", [0, 1, 3])
def test_means_and_axes_are_foretold_and_what_members_have_beside_them_stays(n, axes):
    pairs, members, own = of_axes(n, axes), np.array([3, 8, 9, 20]), rng(1).normal(size=(4, 4))
    pairs[np.ix_(members, members)] += own
    left = pairs_without_axes(pairs, axes, members)
    inside = np.isin(np.arange(n), members)
    size = np.abs(pairs).max()
    assert left[np.ix_(inside, inside)] == pytest.approx(own, abs=0.01 * size)
    between = ~(inside[:, None] & inside) & ~np.eye(n, dtype=bool)
    assert np.abs(left[between]).max() < 0.01 * size


def test_a_units_pair_with_itself_has_no_say():
    pairs = of_axes(40, 1, seed=2)
    more = pairs + np.diag(rng(3).normal(size=40) + 5)
    found, plain = (pairs_without_axes(each, 1) for each in (more, pairs))
    between = ~np.eye(40, dtype=bool)
    assert found[between] == pytest.approx(plain[between], abs=1e-9)
    assert np.diagonal(found) - np.diagonal(plain) == pytest.approx(np.diagonal(more - pairs))


def test_the_order_of_units_changes_nothing():
    pairs, order = of_axes(30, 2) + rng(4).normal(size=(30, 30)), rng(5).permutation(30)
    members = np.array([1, 2, 3])
    turned = pairs_without_axes(pairs[np.ix_(order, order)], 2, np.argsort(order)[members])
    assert turned == pytest.approx(pairs_without_axes(pairs, 2, members)[np.ix_(order, order)], abs=1e-9)


def test_too_few_others_leave_pairs_as_they_are():
    pairs = rng().normal(size=(5, 5))
    assert (pairs_without_axes(pairs, 3, [0, 1, 2]) == pairs).all()
    # Of three others no axis can be known, but means can.
    assert np.linalg.matrix_rank(pairs - pairs_without_axes(pairs, 3, [0, 1]), tol=1e-6) <= 2


def test_equal_pairs_leave_nothing():
    assert np.abs(pairs_without_axes(np.full((12, 12), 0.3), 3)).max() < 1e-12
    assert axes_between(np.zeros((8, 8)), 1).inside == pytest.approx(np.zeros((8, 8)))


@pytest.mark.parametrize("members", [None, 20])
def test_units_do_not_agree_with_themselves_by_a_shared_axis(members):
    random, found, unheld = rng(7), 0, 0
    for _ in range(DRAWS):
        loading = random.lognormal(0, 0.6, 80)[:, None]
        shared = random.normal(size=200)
        ours, theirs = (0.7 * loading * shared + random.normal(size=(80, 200)) for _ in range(2))
        r, groups = np.corrcoef(ours, centred(theirs))[:80, 80:], strata(random.random(80))
        own = None if members is None else random.choice(80, members, replace=False)
        left = pairs_without_axes(r, IN_PAIRS, own)
        tests = (paired_profile_test(each, groups, 199, random, members=own).test.p for each in (left, r))
        found, unheld = (count + (p <= 0.05) for count, p in zip((found, unheld), tests, strict=True))
    assert unheld / DRAWS > 0.3
    assert found / DRAWS <= AT_MOST
