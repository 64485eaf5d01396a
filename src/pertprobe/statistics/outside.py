"""What units outside a program have at the strengths of its members: what effects are measured against.

A permutation null holds the program itself, so its mean lies nearer to the estimate the more of a stratum the members
fill. Effects are taken against units outside alone, by matching with the bias of unequal strengths corrected (Abadie &
Imbens 2011, J Bus Econ Stat 29:1): the mean of the nearest units outside, plus what a trend in strength, fitted to
units outside, says of the difference. Where members fill their stratum, as the strongest of all do, the trend carries
the comparison alone.
"""

from math import nan
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from pertprobe.shapes import Array, Float, Integer
from pertprobe.statistics.arrays import Floats, Integers, Pairwise, PerUnit
from pertprobe.statistics.moments import pair_means
from pertprobe.statistics.sets import matched_number, strength_basis, strength_windows, uniform_sets


def scores_outside(scores: PerUnit, members: Integer[Array, " member"], strength: PerUnit | None) -> float:
    """Return the mean score that units outside have at the members' strengths; nan where there is no such unit.

    Args:
        scores: a score of each unit [n_units].
        members: positions of the program's units, each once.
        strength: effect strength [n_units]; None = any units outside are alike.
    """
    scores = np.asarray(scores, dtype=np.float64)
    outside = np.setdiff1d(np.arange(scores.size), members)
    if outside.size == 0:
        return nan
    if strength is None:
        return float(scores[outside].mean())
    basis = strength_basis(strength, linear=True)
    slopes, *_ = np.linalg.lstsq(basis[outside], scores[outside], rcond=None)
    rest = scores[outside] - basis[outside] @ slopes
    return float((basis[members] @ slopes + _nearest(members, outside, strength) @ rest).mean())


def spread_outside(scores: PerUnit, members: Integer[Array, " member"]) -> float:
    """Return the standard deviation of scores over units outside; nan below two."""
    outside = np.delete(scores, members)
    return float(outside.std(ddof=1)) if outside.size > 1 else nan


class PairsOutside(NamedTuple):
    """What the same question asked of many programs needs of a similarity [n_units, n_units], its diagonal aside."""

    similarity: Floats
    """The similarity, its diagonal 0."""
    strength: Floats | None
    """Effect strength [n_units]; None = any pairs outside are alike."""
    basis: Floats
    """a_i: polynomials in strength's rank [n_units, k]; a constant where there is no strength."""
    wanted: Floats
    """Sum over pairs i != j of S_ij a_i a_j' [k, k]."""

    @classmethod
    def of(cls, similarity: Pairwise, strength: PerUnit | None) -> "PairsOutside":
        """Sum up a symmetric similarity; one pass over the matrix."""
        similarity = np.array(similarity, dtype=np.float64)
        np.fill_diagonal(similarity, 0.0)
        basis = np.ones((len(similarity), 1)) if strength is None else strength_basis(strength)
        strength = None if strength is None else np.asarray(strength, dtype=np.float64)
        return cls(similarity, strength, basis, basis.T @ similarity @ basis)

    def means(self, sets: Integer[Array, "set unit"]) -> Float[Array, " set"]:
        """Return the mean over pairs of each set."""
        return pair_means(self.similarity, sets)

    def effect(self, members: Integers) -> float:
        """Return how much more alike members are than pairs of units outside at their strengths."""
        return float(self.means(members[None])[0]) - self.mean(members)

    def unit_sd(self, members: Integers) -> float:
        """Return the spread, over the units outside, of their mean similarity with the members; nan below two."""
        return spread_outside(self.similarity[:, members].mean(axis=1), members)

    def mean(self, members: Integers) -> float:
        """Return the mean similarity that pairs of units outside have at the strengths of the members' pairs.

        `members` are positions [n], two or more, each once. nan where fewer than two units are outside.
        """
        outside = np.setdiff1d(np.arange(len(self.basis)), members)
        if outside.size < 2:
            return nan
        trend, pairs = self._trend(members, outside), np.triu_indices(members.size, 1)
        foretold = self.basis[members] @ trend @ self.basis[members].T
        if self.strength is not None:
            foretold += self._rest(members, outside, trend)
        return float(foretold[pairs].mean())

    def _trend(self, members: Integers, outside: Integers) -> Floats:
        """Return C of the least squares fit a_i' C a_j over pairs i != j outside: sums over all less the members'."""
        inner, basis = self.basis[members], self.basis[outside]
        mixed = inner.T @ (self.similarity[members] @ self.basis)
        within = inner.T @ self.similarity[np.ix_(members, members)] @ inner
        own = np.einsum("ik,il->ikl", basis, basis).reshape(len(basis), -1)
        gram = basis.T @ basis
        wanted = (self.wanted - mixed - mixed.T + within).ravel()
        coefficients, *_ = np.linalg.lstsq(np.kron(gram, gram) - own.T @ own, wanted, rcond=None)
        return coefficients.reshape(gram.shape)

    def _rest(self, members: Integers, outside: Integers, trend: Floats) -> Floats:
        """Return what the nearest units outside have beyond the trend, for each pair of members [n, n]."""
        weights = _nearest(members, outside, self.strength)
        used = np.flatnonzero(weights.any(axis=0))
        units, weights = outside[used], weights[:, used]
        rest = self.similarity[np.ix_(units, units)] - self.basis[units] @ trend @ self.basis[units].T
        np.fill_diagonal(rest, 0.0)
        different = 1 - weights @ weights.T  # the share of pairs of nearest units that are two units
        return weights @ rest @ weights.T / different


def sets_outside(members: Integers, n_units: int, strength: PerUnit | None, m: int, rng: Generator) -> Integers | None:
    """Return sets of units outside that are near the members in strength [m, n]; None where outside are fewer than n.

    Each member is replaced by a random one of the units outside that are nearest in rank (of all units outside, without
    strength), no unit twice, or by the nearest left where these are used up.
    """
    outside = np.setdiff1d(np.arange(n_units), members)
    if outside.size < members.size:
        return None
    cost = np.zeros((members.size, outside.size))
    if strength is not None:
        cost = np.where(_nearest(members, outside, strength) > 0, 0, _distance(members, outside, strength))
    sets, used, rows = np.empty((m, members.size), dtype=np.intp), np.zeros((m, outside.size), bool), np.arange(m)
    for i in range(members.size):
        chosen = np.where(used, np.inf, cost[i] + rng.random(used.shape)).argmin(axis=1)
        used[rows, chosen], sets[:, i] = True, outside[chosen]
    return sets


DRAWS = 499
"""Sets that `share_of_own` counts in."""


def share_of_own(
    members: Integers, n_units: int, strength: PerUnit | None, rng: Generator, pairs: bool = False
) -> tuple[float, float]:
    """Return mean and standard deviation, over sets of a null, of the share of members (or of their pairs) in a set.

    The null is that of `permutation_test`: sets of the members' strengths, or with `strength` None any. An effect of
    the members is in it in this share.
    """
    n, windows = members.size, None if strength is None else strength_windows(members, strength)
    sets = uniform_sets(n, n_units, DRAWS, rng) if windows is None else windows.draw(DRAWS, rng)
    own = np.isin(sets, members).sum(axis=1)
    share = own * (own - 1) / (n * (n - 1)) if pairs else own / n
    return float(share.mean()), float(share.std())


def _distance(members: Integers, outside: Integers, strength: PerUnit) -> Integers:
    """Return how many ranks of strength lie between each member and each unit outside [member, outside]."""
    ranks = np.argsort(np.argsort(np.asarray(strength), kind="stable"))
    return np.abs(ranks[members][:, None] - ranks[outside])


def _nearest(members: Integers, outside: Integers, strength: PerUnit) -> Float[Array, "member outside"]:
    """Return the weights of the units outside that are nearest in rank to each member, summing up to 1."""
    distance = _distance(members, outside, strength)
    number = min(max(2, matched_number(len(strength))), outside.size)
    weights = np.zeros(distance.shape)
    np.put_along_axis(weights, np.argsort(distance, axis=1, kind="stable")[:, :number], 1 / number, axis=1)
    return weights
