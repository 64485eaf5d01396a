"""Means of a similarity over the pairs of many sets: gathered pair by pair, or by matrix products for large sets."""

from collections.abc import Sequence

import numpy as np

from pertprobe.statistics.sets import Floats, Integers

GATHERED = 500_000
"""Values gathered at once: few enough for a processor's cache."""
PRODUCTS = 4_000_000
"""Entries of the indicator matrix of one matrix product."""
GATHER_COST = 100
"""Multiplications in a matrix product that take as long as gathering one pair."""


def pair_means(similarity: Floats, sets: Integers) -> Floats:
    """Return the mean of a symmetric `similarity` [P, P] over the pairs of each set: sets [k, n] -> [k]."""
    return prefix_pair_means(similarity, sets, [sets.shape[1]])[0]


def prefix_pair_means(similarity: Floats, sets: Integers, sizes: Sequence[int]) -> Floats:
    """Return the same for the first s units of each set, for every s of `sizes` (two or more): [len(sizes), k].

    Pairs up to the size where it is dear are gathered once for all sizes; each larger size costs a matrix product.
    """
    similarity = np.ascontiguousarray(similarity, dtype=np.float64)
    # Cost of gathering the pairs of the first c units, and of one product for each size above c.
    costs = {c: GATHER_COST * c * (c - 1) / 2 + similarity.size * sum(s > c for s in sizes) for c in (0, *sizes)}
    gathered = min(costs, key=costs.__getitem__)
    sums = np.empty((len(sizes), len(sets)))
    small = [k for k, size in enumerate(sizes) if size <= gathered]
    if small:
        sums[small] = _gathered_sums(similarity, sets[:, :gathered], [sizes[k] for k in small])
    for k in set(range(len(sizes))).difference(small):
        sums[k] = _product_sums(similarity, sets[:, : sizes[k]])
    return sums / np.array([[size * (size - 1) / 2] for size in sizes])


def _gathered_sums(similarity: Floats, sets: Integers, sizes: Sequence[int]) -> Floats:
    """Return sums over pairs of the first s units, s in `sizes`, adding one unit after the other: [len(sizes), k]."""
    flat, sums, rows = similarity.ravel(), np.empty((len(sizes), len(sets))), max(1, GATHERED // sets.shape[1])
    for start in range(0, len(sets), rows):
        units = np.ascontiguousarray(sets[start : start + rows].T)
        total, after = np.zeros(units.shape[1]), {}
        for i in range(units.shape[0]):
            # "wrap" skips the check of every index, which takes as long as the rest.
            total = total + flat.take(units[i] * len(similarity) + units[:i], mode="wrap").sum(axis=0)
            after[i + 1] = total
        sums[:, start : start + rows] = [after[size] for size in sizes]
    return sums


def _product_sums(similarity: Floats, sets: Integers) -> Floats:
    """Return sums over pairs as quadratic forms of indicators, z'Sz / 2 without the diagonal: [k]."""
    diagonal, rows = np.diagonal(similarity), max(1, PRODUCTS // len(similarity))
    sums = [_quadratic(similarity, diagonal, sets[start : start + rows]) for start in range(0, len(sets), rows)]
    return np.concatenate(sums)


def _quadratic(similarity: Floats, diagonal: Floats, sets: Integers) -> Floats:
    indicators = np.zeros((len(sets), len(similarity)))
    np.put_along_axis(indicators, sets, 1.0, axis=1)
    return (np.einsum("ki,ki->k", indicators @ similarity, indicators) - diagonal[sets].sum(axis=1)) / 2
