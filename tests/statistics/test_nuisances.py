"""What groups and numbers of cells explain: against least squares written out over pairs and units."""

import numpy as np
import pytest

from pertprobe.statistics.nuisances import NOTHING, Beside
from pertprobe.statistics.sets import strength_basis


def rng(seed=0):
    return np.random.default_rng(seed)


def residual(values, columns):
    return values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]


def symmetric(n, seed=1):
    values = rng(seed).normal(size=(n, n))
    return values + values.T


@pytest.mark.parametrize("cells", [None, rng(3).integers(3, 90, 40)])
@pytest.mark.parametrize("groups", [None, np.eye(3)[rng(4).integers(3, size=40)], rng(5).dirichlet(np.ones(4), 40)])
def test_pairs_are_residuals_of_least_squares_over_pairs(groups, cells):
    similarity, (i, j) = symmetric(40), np.triu_indices(40, 1)
    columns = []
    if cells is not None:
        ranks = (np.argsort(np.argsort(cells, kind="stable")) + 0.5) / 40
        ranks = np.array([ranks[cells == each].mean() for each in cells]) * 2 - 1
        columns += [ranks[i] + ranks[j], ranks[i] * ranks[j]]
    if groups is not None:
        columns += list((groups[i] * groups[j]).T)
    found = Beside(groups, cells).pairs_without(similarity)
    expected = residual(similarity[i, j], np.column_stack([np.ones(len(i)), *columns])) if columns else similarity[i, j]
    assert found[i, j] == pytest.approx(expected, abs=1e-9)
    assert found == pytest.approx(found.T)


def test_a_units_pair_with_itself_has_no_say():
    similarity, groups = symmetric(30), np.eye(3)[rng(2).integers(3, size=30)]
    other = similarity + np.diag(rng(6).normal(size=30))
    found, moved = (Beside(groups).pairs_without(each) for each in (similarity, other))
    assert moved - found == pytest.approx(other - similarity)


def test_scores_are_residuals_of_strength_groups_and_cells():
    scores, strength = rng(1).normal(size=50), rng(2).lognormal(size=50)
    groups, cells = np.eye(3)[rng(3).integers(3, size=50)], np.arange(50)
    columns = np.column_stack([strength_basis(strength, linear=True), groups, np.arange(50)])
    assert Beside(groups, cells).scores_without(scores, strength) == pytest.approx(residual(scores, columns), abs=1e-9)
    basis = strength_basis(strength, linear=True)
    assert NOTHING.scores_without(scores, strength) == pytest.approx(residual(scores, basis), abs=1e-9)


def test_nuisances_of_some_units_are_theirs():
    groups, cells = np.eye(2)[[0, 1, 1, 0]], np.array([1, 2, 3, 4])
    some = Beside(groups, cells, 3).of(np.array([2, 0]))
    assert some.groups.tolist() == [[0, 1], [1, 0]]
    assert some.cells.tolist() == [3, 1]
    assert (some.axes, NOTHING.of(np.array([0]))) == (3, NOTHING)
