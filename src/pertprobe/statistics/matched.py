"""Do the profiles of one unit agree, between contexts or between models, more than those of different units alike?"""

from collections.abc import Iterator, Sequence
from math import comb, nan, perm, prod
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import gammaln

from pertprobe.shapes import Array, Bool, Float, Integer, Like, Num
from pertprobe.statistics.arrays import Floats, Integers, Labels, Members, Pairwise, PerUnit
from pertprobe.statistics.axes import IN_PAIRS, pairs_without_axes
from pertprobe.statistics.permutation import Test, summary
from pertprobe.statistics.sets import pairs_without_strength
from pertprobe.statistics.similarity import kept_positions


class PairedTest(NamedTuple):
    """Agreement of matched profiles, and its test against partners of the same expression decile."""

    test: Test
    """Estimate = `matched` - `partners`; all nan where no gene can be used. It has no stratified p."""
    matched: float
    """Mean r_ii over the genes used: the published statistic."""
    partners: float
    """Mean over the genes used of the mean r_ij to their partners j."""
    genes: Integers
    """Positions of the genes used."""
    n_constant: int
    """Members left out because their profile is constant in a context (nan in `r`)."""
    n_without_partner: int
    """Members left out because no other gene of their decile may be a partner."""


def paired_profile_test(
    r: Pairwise,
    deciles: Labels,
    m: int,
    rng: Generator,
    members: Members | None = None,
    usable: Bool[Like, " unit"] | None = None,
) -> PairedTest:
    """Test r_ii against r_ij: `r` [n, n] correlates profile i in context A with profile j in context B.

    The candidates C_i of a member i are i itself and the genes outside the program in its decile. The statistic of an
    assignment of partners pi is the mean over members of r_(i, pi(i)) - mean of r_ij over the j of C_i that are not
    pi(i); the estimate is the statistic of pi = identity. Null: pi uniform over all assignments without replacement,
    pi(i) in C_i, every one visited where there are at most m. With `members` None every gene is a member and C_i its
    whole decile: the group of permutations within deciles. The test's `unit_sd` is that of r_jj - mean r_jk over genes
    j outside the program, k the other such genes of j's decile.

    Args:
        r: correlations [n, n]; a gene whose row or column is all nan has a constant profile and is left out.
        deciles: expression decile of each gene [n], any labels.
        m: number of draws.
        rng: numpy's generator.
        members: positions of the program's genes; None = all genes, one with another.
        usable: genes whose profiles vary in both contexts [n]; None = those with a row and a column in `r`. Where it is
            given, rows of genes that are no members may be nan: only `unit_sd` reads them, and is nan then.
    """
    r, deciles = np.asarray(r, dtype=np.float64), np.asarray(deciles)
    known = ~(np.isnan(r).all(axis=1) | np.isnan(r).all(axis=0))
    usable = known if usable is None else np.asarray(usable, dtype=bool)
    chosen = np.arange(len(r)) if members is None else np.unique(np.asarray(members, dtype=np.intp))
    open_to_all = usable if members is None else usable & ~np.isin(np.arange(len(r)), chosen)
    present = chosen[usable[chosen]]
    candidates = [np.union1d(np.flatnonzero(open_to_all & (deciles == deciles[i])), [i]) for i in present]
    kept = [k for k, choice in enumerate(candidates) if choice.size > 1]
    genes, candidates = present[kept], [candidates[k] for k in kept]
    counts = chosen.size - present.size, present.size - genes.size
    if not kept:
        return PairedTest(Test(note="no gene has a partner of its expression decile"), nan, nan, genes, *counts)
    blocks = [np.flatnonzero(deciles[genes] == decile) for decile in np.unique(deciles[genes])]
    partners, arrangements = _partners(genes, candidates, blocks, members is None, m, rng)
    own, null = (_contrast(r, genes, candidates, each) for each in (genes[None], partners))
    outside = np.setdiff1d(np.flatnonzero(usable), chosen)
    test = summary(own[0], null, arrangements, m)._replace(unit_sd=_unit_sd(r, deciles, outside))
    matched = float(r[genes, genes].mean())
    return PairedTest(test, matched, matched - test.estimate, genes, *counts)


def _contrast(r: Floats, genes: Integers, candidates: Sequence[Integers], partners: Integers) -> Floats:
    """Return the statistic of each assignment: partners [k, n] -> [k]."""
    size = np.array([choice.size for choice in candidates])
    total = np.array([r[i, choice].sum() for i, choice in zip(genes, candidates, strict=True)])
    return ((size * r[genes, partners] - total) / (size - 1)).mean(axis=1)


def _partners(
    genes: Integers, candidates: Sequence[Integers], blocks: Sequence[Integers], among_all: bool, m: int, rng: Generator
) -> tuple[Integers, int]:
    """Return assignments [m or all, n], and how many there are."""
    sides = [(block, np.setdiff1d(candidates[block[0]], genes[block])) for block in blocks]
    ways = [perm(block.size) if among_all else _assignments(block.size, others.size) for block, others in sides]
    arrangements = prod(ways)
    if arrangements <= m:
        return np.array(list(_injective(candidates))), arrangements
    partners = np.empty((m, genes.size), dtype=np.intp)
    for block, others in sides:
        own = np.tile(genes[block], (m, 1))
        partners[:, block] = rng.permuted(own, axis=1) if among_all else _borrowed(own, others, rng)
    return partners, arrangements


def _assignments(n_own: int, n_others: int) -> int:
    """Count the ways in which t of the own genes, t = 0, 1, ..., are replaced by distinct others."""
    return sum(comb(n_own, t) * perm(n_others, t) for t in range(min(n_own, n_others) + 1))


def _borrowed(own: Integers, others: Integers, rng: Generator) -> Integers:
    """Replace a random number of the own genes [m, q] by distinct others, uniform over all assignments."""
    m, q = own.shape
    t = np.arange(min(q, others.size) + 1)
    log_weights = -gammaln(t + 1) - gammaln(q - t + 1) - gammaln(others.size - t + 1)
    weights = np.exp(log_weights - log_weights.max())
    replaced = rng.choice(t, size=m, p=weights / weights.sum())
    turn = np.argsort(rng.random((m, q)), axis=1)
    drawn = rng.permuted(np.tile(others, (m, 1)), axis=1)
    return np.where(turn < replaced[:, None], np.take_along_axis(drawn, np.minimum(turn, others.size - 1), axis=1), own)


def _injective(candidates: Sequence[Integers]) -> Iterator[tuple[int, ...]]:
    """Yield every choice of one candidate each in which no candidate is chosen twice."""
    if not candidates:
        yield ()
        return
    for chosen in _injective(candidates[:-1]):
        yield from ((*chosen, int(choice)) for choice in candidates[-1] if choice not in chosen)


def _unit_sd(r: Floats, deciles: NDArray[Any], outside: Integers) -> float:
    """Return the standard deviation of r_jj - mean r_jk over genes j outside, k the others of these in j's decile."""
    partners = (deciles[outside][:, None] == deciles[outside]) & ~np.eye(outside.size, dtype=bool)
    block, number = r[np.ix_(outside, outside)], partners.sum(axis=1)
    scores = (np.diagonal(block) - np.where(partners, block, 0.0).sum(axis=1) / np.maximum(number, 1))[number > 0]
    return float(scores.std(ddof=1)) if scores.size > 1 else nan


def contrasts(
    r: Pairwise,
    groups: Labels,
    genes: Integer[Like, " asked"] | Sequence[SupportsIndex],
    members: Members | None = None,
    usable: Bool[Like, " unit"] | None = None,
) -> Float[Array, " asked"]:
    """Return r_ii - mean r_ij of each of `genes`, over the partners j that `paired_profile_test` gives it.

    Args:
        r: correlations [n, n].
        groups: group of each unit, within which partners are.
        genes: positions of those that are asked, each with a partner.
        members: positions of the program's units, none of which is a partner; None = all units are.
        usable: units that may be partners; None = all.
    """
    r, groups, genes = np.asarray(r, dtype=np.float64), np.asarray(groups), np.asarray(genes, dtype=np.intp)
    partners = (groups[genes][:, None] == groups) & (np.ones(len(r), bool) if usable is None else np.asarray(usable))
    if members is not None:
        partners[:, np.asarray(members, dtype=np.intp)] = False
    partners[np.arange(len(genes)), genes] = False
    return r[genes, genes] - np.where(partners, r[genes], 0.0).sum(axis=1) / np.maximum(partners.sum(axis=1), 1)


STRATUM = 8
"""Fewest units of a stratum of like strength."""
MOST_STRATA = 10


def pearson_matrix(
    a: Num[Like, "first output"],
    b: Num[Like, "second output"],
    a_outputs: Integer[Like, " first"] | Sequence[int],
    b_outputs: Integer[Like, " second"] | Sequence[int],
    left_out: Members | None = None,
) -> Float[Array, "first second"]:
    """Correlate profile i of `a` [n, G] and j of `b` [m, G] over outputs without those of i and j: [n, m].

    Sums over all outputs, less the terms of the one or two that are left out.

    Args:
        a: profiles of one model.
        b: profiles of the other.
        a_outputs: the output [n] that is the perturbed gene of each profile of `a`; -1 where it is not an output.
        b_outputs: the same for `b` [m].
        left_out: outputs left out of every pair.

    Returns:
        Correlations; nan for a profile that is constant over what remains.
    """
    keep = np.setdiff1d(np.arange(np.shape(a)[1]), [] if left_out is None else left_out)
    a, b = (np.asarray(each, dtype=np.float64)[:, keep] for each in (a, b))
    a, b = (each - each.mean(axis=1, keepdims=True) for each in (a, b))  # small numbers lose fewer digits
    own, other = kept_positions(a_outputs, keep)[:, None], kept_positions(b_outputs, keep)[None]
    repeated = np.where(other == own, -1, other)
    n = keep.size - (own >= 0).astype(int) - (repeated >= 0)
    left = [(_at(a, own, rows=True), _at(b, own)), (_at(a, repeated, rows=True), _at(b, repeated))]
    x, y = (-sum(pair[side] for pair in left) for side in (0, 1))
    xx = (a**2).sum(axis=1)[:, None] - sum(first**2 for first, _ in left)
    yy = (b**2).sum(axis=1)[None] - sum(second**2 for _, second in left)
    xy = a @ b.T - sum(pair[0] * pair[1] for pair in left)
    spread = [squares - sums**2 / np.maximum(n, 1) for squares, sums in ((xx, x), (yy, y))]
    scale = np.sqrt(np.clip(spread[0], 0, None) * np.clip(spread[1], 0, None))
    flat = (spread[0] <= 1e-12 * xx) | (spread[1] <= 1e-12 * yy)  # constant to rounding
    return np.divide(xy - x * y / np.maximum(n, 1), scale, out=np.full(xy.shape, np.nan), where=~flat & (scale > 0))


def _at(profiles: Floats, outputs: Integers, rows: bool = False) -> Floats:
    """Return for each pair the value at an output, of the pair's first (`rows`) or second profile; 0 for none."""
    index = np.arange(len(profiles))
    values = profiles[index[:, None] if rows else index[None], np.maximum(outputs, 0)]
    return np.where(outputs >= 0, values, 0.0)


def strata(strength: PerUnit) -> Integer[Array, " unit"]:
    """Return the stratum [n] of each unit: up to MOST_STRATA of like strength, of STRATUM units or more each."""
    order = np.argsort(np.asarray(strength), kind="stable")
    number = int(np.clip(order.size // STRATUM, 1, MOST_STRATA))
    found = np.empty(order.size, dtype=np.intp)
    found[order] = np.arange(order.size) * number // max(order.size, 1)
    return found


def crossed_test(
    r: Pairwise,
    strength_a: PerUnit,
    strength_b: PerUnit,
    m: int,
    rng: Generator,
    members: Members | None = None,
) -> PairedTest:
    """Test r_ii against r_ij, j of like strength: `paired_profile_test`, stratified by strength.

    Profile j of the second model stands in for profile i, so partners are of its stratum there. Within a stratum
    members may still be the stronger ones, and all may agree by an axis that all share: the null is that of r less what
    the two strengths and this axis explain, and what they explain of the estimate is added to every draw, as in
    `permutation.stratified`.

    Args:
        r: correlations [n, n]; units whose row or column is all nan are left out.
        strength_a: of the units in the first model [n].
        strength_b: in the second [n].
        m: draws of the null.
        rng: numpy's generator.
        members: positions of the program's units; None = all, one with another.
    """
    r, groups = np.asarray(r, dtype=np.float64), strata(strength_b)
    known = np.flatnonzero(~(np.isnan(r).all(axis=1) | np.isnan(r).all(axis=0)))
    apart, block = np.full(r.shape, np.nan), np.ix_(known, known)
    if known.size > 1:
        apart[block] = pairs_without_strength(r[block], *(np.asarray(each)[known] for each in (strength_a, strength_b)))
    foretold = r - apart + along_axis(apart, members)
    return held_profile_test(r, foretold, groups, m, rng, members=members)


def held_profile_test(
    r: Pairwise,
    foretold: Pairwise,
    groups: Labels,
    m: int,
    rng: Generator,
    members: Members | None = None,
    usable: Bool[Like, " unit"] | None = None,
) -> PairedTest:
    """Test r_ii against r_ij as `paired_profile_test`, by the null of what is not `foretold` of r [n, n].

    What is foretold of the estimate is added to every draw, as in `permutation.stratified`.
    """
    r = np.asarray(r, dtype=np.float64)
    plain = paired_profile_test(r, groups, 1, np.random.default_rng(0), members=members, usable=usable)
    found = paired_profile_test(r - foretold, groups, m, rng, members=members, usable=usable)
    explained = plain.test.estimate - found.test.estimate
    shifted = found.test._replace(estimate=plain.test.estimate, null_mean=found.test.null_mean + explained)
    return plain._replace(test=shifted)


def along_axis(r: Pairwise, members: Members | None = None) -> Float[Array, "unit unit"]:
    """Return what units' means and the axis that all share foretell of r [n, n]; nan of units that r knows nothing of.

    Found without pairs of members with each other, and without any unit's r_ii (`axes.pairs_without_axes`).
    """
    r = np.asarray(r, dtype=np.float64)
    known = np.flatnonzero(~(np.isnan(r).all(axis=1) | np.isnan(r).all(axis=0)))
    inside = np.flatnonzero(np.isin(known, () if members is None else members))
    foretold, block = np.full(r.shape, np.nan), np.ix_(known, known)
    if known.size:
        foretold[block] = r[block] - pairs_without_axes(r[block], IN_PAIRS, inside)
    return foretold
