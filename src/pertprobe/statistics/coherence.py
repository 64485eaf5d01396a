"""Are the members of a program alike: the mean of a similarity over their pairs, tested by label permutation.

In the matched null strength is held, and what is held beside it (`nuisances.Beside`): what groups and numbers of cells
explain of pairs is taken away, and what axes that all others share foretell of a set (`beyond_axes`).
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from math import comb, nan

import numpy as np
from numpy.random import Generator

from pertprobe.shapes import Array, Integer
from pertprobe.statistics.arrays import Floats, Integers, Members, Pairwise, PerUnit
from pertprobe.statistics.beyond_axes import BeyondAxes, axes_held
from pertprobe.statistics.moments import PairSums, pair_means, prefix_pair_means
from pertprobe.statistics.nuisances import NOTHING, Beside
from pertprobe.statistics.outside import PairsOutside, share_of_own
from pertprobe.statistics.permutation import (
    Test,
    described,
    matched_p,
    stratified,
    summary,
    with_more_draws,
    with_tail,
)
from pertprobe.statistics.sets import pairs_without_strength, random_orders, uniform_sets


def coherence(
    similarity: Pairwise,
    members: Members,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
    adjusted: Pairwise | None = None,
    beside: Beside = NOTHING,
    further: bool = False,
) -> Test:
    """Test whether members resemble each other: mean of `similarity` [P, P] over pairs i < j of members.

    In the strength-matched null, strength and what is held `beside` it are taken from the similarity too; `adjusted` is
    the similarity without them where that is made in another way. The per-unit score is a unit's mean similarity with
    the members. `further`: p with strength alone held, and without one of the most alike pair.

    Raises:
        ValueError: fewer than two members, which form no pair.
    """
    similarity, members = np.asarray(similarity, dtype=np.float64), distinct(members)
    asked = Similarity(similarity, strength, beside, adjusted)
    nulls = {members.size: asked.plain.means(uniform_sets(members.size, len(similarity), m, rng))}
    return _tested(asked, members, nulls, PairSums.of(similarity), m, rng, further)


HeldPairs = PairsOutside | BeyondAxes
"""A similarity without nuisances, of which sets of units are asked."""


NOTABLE = 0.05
"""p of sets that explain others, and of those that want explaining."""
FURTHER = 999
"""Most draws behind p values that no verdict reads."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """A similarity as sets of units are asked about it: as it is, and without what is held."""

    similarity: Pairwise
    """[unit, unit], symmetric."""
    strength: PerUnit | None
    beside: Beside = NOTHING
    adjusted: Pairwise | None = None
    """Without strength and what is held beside it, where that was made in another way."""
    known: dict[int, HeldPairs] = field(default_factory=dict)
    """Number of axes -> without these and all else that is held, as far as they were asked for."""

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.similarity)

    @cached_property
    def plain(self) -> PairsOutside:
        """The similarity as it is."""
        return PairsOutside.of(self.similarity, None)

    @cached_property
    def trend(self) -> PairsOutside:
        """The similarity without what strength explains."""
        return PairsOutside.of(pairs_without_strength(self.similarity, self.strength), self.strength)

    def axes(self, n_members: int) -> int:
        """Return how many axes are held where sets of so many units are asked about: scores beyond them take longer."""
        return 0 if self.adjusted is not None else axes_held(self.beside.axes, n_members, self.n_units)

    def held(self, n_members: int) -> HeldPairs:
        """Return the similarity without all that is held, for sets of so many units."""
        axes = self.axes(n_members)
        if axes not in self.known:
            self.known[axes] = self._without(axes)
        return self.known[axes]

    def _without(self, axes: int) -> HeldPairs:
        """Take away what is held.

        Axes hold what strength does to pairs as well: a trend in strengths that were measured with noise would leave
        more axes than it takes. Without units enough for axes it is that trend that is taken.
        """
        if self.adjusted is not None:
            return PairsOutside.of(self.adjusted, self.strength)
        if not axes and self.beside.groups is None and self.beside.cells is None:
            return self.trend
        apart = self.beside.pairs_without(self.similarity)
        return (
            BeyondAxes.of(apart, axes)
            if axes
            else PairsOutside.of(pairs_without_strength(apart, self.strength), self.strength)
        )

    def used(self, test: Test, n_members: int) -> tuple[HeldPairs, PerUnit | None]:
        """Return the similarity whose null a test used, and the strength that its sets were matched by."""
        return (self.held(n_members), self.strength) if test.p_used == "p_stratified" else (self.plain, None)

    def described(self, test: Test, members: Integers, rng: Generator) -> Test:
        """Add effect, `unit_sd` and the program's own share of a coherence, of the similarity whose null is used."""
        used, strength = self.used(test, members.size)
        share = share_of_own(members, self.n_units, strength, rng, pairs=True)
        return described(test, used.effect(members), used.unit_sd(members), share)

    def further(self, test: Test, members: Integers, m: int, rng: Generator) -> Test:
        """Add p with strength alone held, where more is, and p without one of the two most alike members.

        The others are compared with sets of their number: which one is left out was chosen against the program.
        """
        used, strength = self.used(test, members.size)
        asked = {"n_units": self.n_units, "strength": strength, "m": min(m, FURTHER), "rng": rng}
        if strength is not None and self.adjusted is None and used is not self.trend:
            test = test._replace(p_strength=matched_p(self.trend.means, members, **asked))
        if members.size < 3:
            return test
        others = without_nearest(self.plain.similarity, members)
        scores = self.used(test, others.size)[0].means
        return test._replace(p_without_pair=matched_p(scores, others, **asked))


def _explained(
    asked: Similarity,
    name: str,
    tests: Mapping[str, Test],
    members: Mapping[str, Integers],
    m: int,
    rng_of: Callable[[str], Generator],
) -> Test:
    """Return the test of a set with the stronger one that explains most of it, and its p beyond that.

    Both have p below 0.05 and share units; stronger is the one with more sd of its null. The one that explains most is
    the one whose removal leaves the largest p; one that leaves fewer than two units explains all.
    """
    test, p_of = tests[name], lambda each: getattr(each, each.p_used)
    if p_of(test) > NOTABLE:
        return test
    found: dict[str, float] = {}
    for other, each in tests.items():
        stronger = p_of(each) <= NOTABLE and each.effect / each.null_sd > test.effect / test.null_sd
        rest = np.setdiff1d(members[name], members[other])
        if stronger and rest.size < members[name].size:
            scores, strength = asked.used(test, max(rest.size, 2))
            given = asked.n_units, strength, min(m, FURTHER), rng_of(f"{name} without {other}")
            found[other] = nan if rest.size < 2 else matched_p(scores.means, rest, *given)
    if not found:
        return test
    most = max(found, key=lambda other: (np.isnan(found[other]), found[other]))
    return test._replace(explained_by=most, p_beyond=found[most])


def without_nearest(similarity: Pairwise, members: Integers) -> Integer[Array, " other"]:
    """Return members without one of the two that are most alike: the one that has more with all."""
    pairs = np.asarray(similarity, dtype=np.float64)[np.ix_(members, members)]
    between = np.where(np.eye(members.size, dtype=bool), -np.inf, pairs)
    nearest = np.unravel_index(between.argmax(), between.shape)
    return np.delete(members, max(nearest, key=lambda unit: pairs[unit].sum() - pairs[unit, unit]))


def distinct(members: Members) -> Integer[Array, " member"]:
    """Return the members, each once, in order; ValueError below two."""
    members = np.unique(np.asarray(members, dtype=np.intp))
    if members.size < 2:
        raise ValueError("coherence needs at least two members")
    return members


BATCH = 1000
"""Random orders in the memory of a thread at once."""
UNIFORM = ""
"""The name whose generator draws the uniform null; no program has it."""


def coherence_tests(
    similarity: Pairwise,
    sets: Mapping[str, Members],
    strength: PerUnit | None,
    m: int,
    rng_of: Callable[[str], Generator],
    sums: PairSums | None = None,
    threads: int = 1,
    beside: Beside = NOTHING,
    further: bool = False,
    adjusted: Pairwise | None = None,
) -> dict[str, Test]:
    """Test each set of positions as `coherence` does, in the same distribution.

    The first n units of a random order are a uniform set of n: m orders give the uniform null of every size, which all
    sets of that size share. The tests are therefore dependent across sets (each alone is not), and none depends on
    which other sets are tested.

    Args:
        similarity: symmetric [P, P].
        sets: name -> positions of members.
        strength: effect strength [P]; None = no strength-matched null.
        m: draws of each null.
        rng_of: the generator of a name: those of `sets` draw their matched sets, "" the uniform null.
        sums: PairSums.of(similarity), where known.
        threads: threads at work; the results do not depend on them.
        beside: what is held beside strength.
        further: also p with strength alone held, without one of the most alike pair, and beyond each stronger set.
        adjusted: the similarity without what is held [P, P], where that is made in another way.

    Raises:
        ValueError: a set has fewer than two members, or is called "".
    """
    if UNIFORM in sets:
        raise ValueError("coherence_tests needs a name for every set")
    members = {name: distinct(each) for name, each in sets.items()}
    similarity = np.asarray(similarity, dtype=np.float64)
    if strength is not None:
        # Units of like strength lie together, so that the matched sets of a program read little memory.
        order = np.argsort(np.asarray(strength), kind="stable")
        strength, similarity, beside = np.asarray(strength)[order], similarity[np.ix_(order, order)], beside.of(order)
        adjusted = None if adjusted is None else np.asarray(adjusted)[np.ix_(order, order)]
        rank = np.argsort(order)
        members = {name: np.sort(rank[each]) for name, each in members.items()}
    sums, asked = sums or PairSums.of(similarity), Similarity(similarity, strength, beside, adjusted)
    with ThreadPoolExecutor(threads) as pool:
        nulls = _uniform_nulls(similarity, {each.size for each in members.values()}, m, rng_of(UNIFORM), pool)
        test = lambda name: _tested(asked, members[name], nulls, sums, m, rng_of(name), further)  # noqa: E731
        tests = dict(zip(members, pool.map(test, members), strict=True))
    return {name: _explained(asked, name, tests, members, m, rng_of) for name in tests} if further else tests


def _tested(
    asked: Similarity,
    members: Integers,
    nulls: Mapping[int, Floats],
    sums: PairSums,
    m: int,
    rng: Generator,
    further: bool,
) -> Test:
    """Test one set of members; `nulls` are those of uniform sets, by size."""
    n, scores, null = asked.n_units, asked.plain.means, nulls[members.size]
    found = summary(float(scores(members[None])[0]), null, arrangements=comb(n, members.size), m=m)
    if asked.strength is not None:
        held, refined = asked.held(members.size), not asked.axes(members.size)
        found = stratified(found, held.means, members, asked.strength, m, rng, refined)
    found = with_more_draws(found, null, scores, members.size, n, rng)
    found = with_tail(found, sums.moments(members.size), n, members)
    found = asked.described(found, members, rng)
    return asked.further(found, members, m, rng) if further else found


def _uniform_nulls(similarity: Floats, sizes: set[int], m: int, rng: Generator, pool: Executor) -> dict[int, Floats]:
    """Return the mean over pairs of m uniform sets of each size, or of all sets where there are at most m."""
    visited = {n for n in sizes if comb(len(similarity), n) <= m}
    nulls = {n: pair_means(similarity, uniform_sets(n, len(similarity), m, rng)) for n in visited}
    sampled, starts = sorted(sizes - visited), range(0, m, BATCH)
    if not sampled:
        return nulls
    drawn = np.empty((len(sampled), m))

    def fill(start: int, own: Generator) -> None:
        """Fill in the nulls of one batch of orders."""
        orders = random_orders(min(BATCH, m - start), sampled[-1], len(similarity), own)
        drawn[:, start : start + BATCH] = prefix_pair_means(similarity, orders, sampled)

    list(pool.map(fill, starts, rng.spawn(len(starts))))
    return nulls | dict(zip(sampled, drawn, strict=True))
