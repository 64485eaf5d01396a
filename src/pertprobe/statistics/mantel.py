"""Second-order agreement of two models: do they find the same perturbations similar? (Mantel 1967)."""

from collections.abc import Iterable
from itertools import islice, permutations
from math import factorial, inf, prod
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from pertprobe.shapes import Like, Num
from pertprobe.statistics.arrays import Floats, Integers, Pairwise, PerUnit
from pertprobe.statistics.permutation import CLEAR, FIRST, SEPARABLE, Test, by_moments, summary, with_stratified
from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.sets import orders_within, pairs_without_strength, strength_blocks

ORDERS = 1000
"""Orders of all perturbations in memory at once."""
DEAR = 15 * 10**9
"""Numbers that the draws of a test may read, a minute's work; where all would read more, they end when p is settled."""


def mantel(
    similarity_a: Pairwise,
    similarity_b: Num[Like, "other_unit other_unit"],
    m: int,
    rng: Generator,
    correlation: Literal["pearson", "spearman"] = "pearson",
    strength: PerUnit | None = None,
) -> Test:
    """Correlate two similarity matrices [P, P] of the same perturbations over pairs i < j; permute the labels of one.

    One-sided greater; all P! relabellings where there are at most m, the identity among them. A matrix that is constant
    over its pairs has correlation 0. Of large matrices (`DEAR`) no more relabellings are drawn than settle p:
    `n_permutations` says how many were.

    With `strength` [P] also the test stratified by it: strength can be the common cause of both similarities. What it
    explains is taken from both (`sets.pairs_without_strength`, of ranks where ranks are correlated), and labels
    are exchanged among perturbations of like strength only, since residuals may be the larger the stronger a
    perturbation is. What it explains of the estimate is added to every draw, as in `permutation.stratified`.

    Raises:
        ValueError: the matrices have different sizes, or fewer than three perturbations.
    """
    a, b = (_standardised(np.asarray(s, dtype=np.float64), correlation) for s in (similarity_a, similarity_b))
    if a.shape != b.shape or len(a) < 3:
        raise ValueError(
            f"mantel needs two square matrices of at least 3 shared perturbations, got {a.shape}, {b.shape}"
        )
    arrangements = factorial(len(a))
    drawn = (rng.permutation(len(a)) for _ in range(m))
    orders = drawn if arrangements > m else map(np.array, permutations(range(len(a))))
    test = _tested(a, b, orders, m, arrangements)
    return test if strength is None else _stratified(test, a, b, strength, m, rng)


def _tested(a: Floats, b: Floats, orders: Iterable[Integers], m: int, arrangements: float) -> Test:
    """Test the correlation of the standardised a and b against that under orders of b: at most m, or all there are.

    Where m draws are `DEAR` they end when `CLEAR` of them have reached the estimate (Besag & Clifford 1991), or after
    the `FIRST` where none of these has: p is then that of the null's moments (`by_moments`).
    """
    estimate, values = _product(a, b, np.arange(len(a))), (_product(a, b, order) for order in orders)
    if m * a.size <= DEAR:
        null = np.fromiter(values, float)
        return summary(estimate, null, arrangements, null.size)
    null = [*islice(values, FIRST)]
    reached = sum(value >= estimate for value in null)
    for value in islice(values, max(DEAR // a.size - FIRST, 0)) if 0 < reached < CLEAR else ():
        null.append(value)
        reached += value >= estimate
        if reached >= CLEAR:
            break
    test = summary(estimate, np.array(null), inf, len(null))
    return test if reached else by_moments(test)


def _stratified(test: Test, a: Floats, b: Floats, strength: ArrayLike, m: int, rng: Generator) -> Test:
    """Add the test stratified by strength to that of the standardised a and b, to be used where it can answer."""
    blocks = strength_blocks(strength)
    fewest = 1 / prod(factorial(block.size) for block in blocks)
    if len(blocks) < 2 or max(fewest, 1 / (m + 1)) > SEPARABLE:
        return test._replace(note="strength not separable")
    a, b = (_standardised(pairs_without_strength(each, strength), "pearson") for each in (a, b))
    sizes = np.diff([*range(0, m, ORDERS), m]).tolist()
    orders = (order for size in sizes for order in orders_within(blocks, len(a), size, rng))
    within = _tested(a, b, orders, m, inf)
    null_mean = within.null_mean + test.estimate - within.estimate
    return with_stratified(test, within._replace(p_min=max(fewest, within.p_min), null_mean=null_mean))


def _standardised(similarity: Floats, correlation: str) -> Floats:
    """Return values (or their ranks) over pairs with mean 0 and sum of squares 1, symmetric, with diagonal 0."""
    upper = np.triu_indices(len(similarity), 1)
    values = average_ranks(similarity[upper]) if correlation == "spearman" else similarity[upper]
    values = values - values.mean()
    norm = np.linalg.norm(values)
    spread = norm > 1e-12 * np.abs(similarity[upper]).max(initial=0.0)
    result = np.zeros_like(similarity)
    result[upper] = values / norm if spread else 0.0
    return result + result.T


def _product(a: Floats, b: Floats, order: Integers) -> float:
    """Return the correlation over pairs with the labels of b permuted (both are standardised and symmetric)."""
    return float(np.vdot(a, b.take(order, axis=0).take(order, axis=1))) / 2
