"""The coherence of many programs at once: one uniform null for each size, all sizes from the same draws."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from math import comb

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from pertprobe.statistics.moments import PairSums
from pertprobe.statistics.pairs import pair_means, prefix_pair_means
from pertprobe.statistics.permutation import Test, described, distinct, summary, with_strength_held
from pertprobe.statistics.sets import Floats, Integers, random_orders, uniform_sets
from pertprobe.statistics.strength import pairs_without_strength

BATCH = 1000
"""Random orders held at once by a thread."""
UNIFORM = ""
"""The name whose generator draws the uniform null; no program has it."""


def coherence_many(
    similarity: ArrayLike,
    sets: Mapping[str, ArrayLike],
    strength: ArrayLike | None,
    m: int,
    rng_of: Callable[[str], Generator],
    sums: PairSums | None = None,
    threads: int = 1,
) -> dict[str, Test]:
    """Test each set of positions as `permutation.coherence` does, in the same distribution.

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

    Raises:
        ValueError: a set has fewer than two members, or is called "".
    """
    if UNIFORM in sets:
        raise ValueError("coherence_many needs a name for every set")
    members = {name: distinct(each) for name, each in sets.items()}
    similarity = np.asarray(similarity, dtype=np.float64)
    if strength is not None:
        # Units of like strength lie together, so that the matched sets of a program read little memory.
        order = np.argsort(np.asarray(strength), kind="stable")
        strength, similarity = np.asarray(strength)[order], similarity[np.ix_(order, order)]
        rank = np.argsort(order)
        members = {name: np.sort(rank[each]) for name, each in members.items()}
    held = similarity if strength is None else pairs_without_strength(similarity, strength)
    sums = sums or PairSums.of(similarity)
    with ThreadPoolExecutor(threads) as pool:
        nulls = _uniform_nulls(similarity, {each.size for each in members.values()}, m, rng_of(UNIFORM), pool)

        def test(name: str) -> Test:
            """Test one set of members."""
            found = _uniform_test(similarity, members[name], nulls[members[name].size], m, sums)
            if strength is None:
                return found
            return with_strength_held(found, partial(pair_means, held), members[name], strength, m, rng_of(name))

        return dict(zip(members, pool.map(test, members), strict=True))


def _uniform_test(similarity: Floats, members: Integers, null: Floats, m: int, sums: PairSums) -> Test:
    arrangements = comb(len(similarity), members.size)
    test = summary(float(pair_means(similarity, members[None])[0]), null, arrangements, m)
    return described(test, sums.moments(members.size), len(similarity), members, similarity[:, members].mean(axis=1))


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
