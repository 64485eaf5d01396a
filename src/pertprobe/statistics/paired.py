"""Do the profiles of one gene agree between contexts more than profiles of different genes of like expression?"""

from collections.abc import Iterator, Sequence
from math import comb, nan, perm, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from pertprobe.statistics.permutation import Test, summary
from pertprobe.statistics.sets import Floats, Integers


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
    r: ArrayLike,
    deciles: ArrayLike,
    m: int,
    rng: Generator,
    members: ArrayLike | None = None,
    usable: ArrayLike | None = None,
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
        return PairedTest(_no_test(), nan, nan, genes, *counts)
    blocks = [np.flatnonzero(deciles[genes] == decile) for decile in np.unique(deciles[genes])]
    partners, arrangements = _partners(genes, candidates, blocks, members is None, m, rng)
    test = summary(
        _contrast(r, genes, candidates, genes[None])[0], _contrast(r, genes, candidates, partners), arrangements, m
    )
    outside = np.setdiff1d(np.flatnonzero(usable), chosen)
    test = test._replace(unit_sd=_unit_sd(r, deciles, outside))
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
    outside = [np.setdiff1d(candidates[block[0]], genes[block]) for block in blocks]
    if among_all:
        arrangements = prod(perm(block.size) for block in blocks)
    else:
        arrangements = prod(
            _assignments(block.size, others.size) for block, others in zip(blocks, outside, strict=True)
        )
    if arrangements <= m:
        return np.array(list(_injective(candidates))), arrangements
    partners = np.empty((m, genes.size), dtype=np.intp)
    for block, others in zip(blocks, outside, strict=True):
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


def _no_test() -> Test:
    numbers = {name: nan for name in Test._fields}
    said = "no gene has a partner of its expression decile"
    return Test(**numbers | {"p_used": "p", "n_permutations": 0, "note": said})


def _unit_sd(r: Floats, deciles: NDArray[Any], outside: Integers) -> float:
    """Return the standard deviation of r_jj - mean r_jk over genes j outside, k the others of these in j's decile."""
    partners = (deciles[outside][:, None] == deciles[outside]) & ~np.eye(outside.size, dtype=bool)
    block, number = r[np.ix_(outside, outside)], partners.sum(axis=1)
    scores = (np.diagonal(block) - np.where(partners, block, 0.0).sum(axis=1) / np.maximum(number, 1))[number > 0]
    return float(scores.std(ddof=1)) if scores.size > 1 else nan
