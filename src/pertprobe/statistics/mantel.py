"""Second-order agreement of two models: do they find the same perturbations similar? (Mantel 1967)."""

from collections.abc import Iterator
from itertools import permutations
from math import factorial
from typing import Literal

import numpy as np
import scipy
from numpy.random import Generator
from numpy.typing import ArrayLike

from pertprobe.statistics.permutation import Test, summary
from pertprobe.statistics.sets import Floats, Integers


def mantel(
    similarity_a: ArrayLike,
    similarity_b: ArrayLike,
    m: int,
    rng: Generator,
    correlation: Literal["pearson", "spearman"] = "pearson",
) -> Test:
    """Correlate two similarity matrices [P, P] of the same perturbations over pairs i < j; permute the labels of one.

    One-sided greater; all P! relabellings where there are at most m, the identity among them. A matrix that is constant
    over its pairs has correlation 0.

    Raises:
        ValueError: the matrices have different sizes, or fewer than three perturbations.
    """
    a, b = (_standardised(np.asarray(s, dtype=np.float64), correlation) for s in (similarity_a, similarity_b))
    if a.shape != b.shape or len(a) < 3:
        raise ValueError(
            f"mantel needs two square matrices of at least 3 shared perturbations, got {a.shape}, {b.shape}"
        )
    arrangements = factorial(len(a))
    orders = _orders(len(a), m, rng) if arrangements > m else map(np.array, permutations(range(len(a))))
    null = np.array([_product(a, b, order) for order in orders])
    return summary(_product(a, b, np.arange(len(a))), null, arrangements, m)


def _orders(size: int, m: int, rng: Generator) -> Iterator[Integers]:
    return (rng.permutation(size) for _ in range(m))


def _standardised(similarity: Floats, correlation: str) -> Floats:
    """Return values (or their ranks) over pairs with mean 0 and sum of squares 1, symmetric, with diagonal 0."""
    upper = np.triu_indices(len(similarity), 1)
    values = scipy.stats.rankdata(similarity[upper]) if correlation == "spearman" else similarity[upper]
    values = values - values.mean()
    norm = np.linalg.norm(values)
    spread = norm > 1e-12 * np.abs(similarity[upper]).max(initial=0.0)
    result = np.zeros_like(similarity)
    result[upper] = values / norm if spread else 0.0
    return result + result.T


def _product(a: Floats, b: Floats, order: Integers) -> float:
    """Return the correlation over pairs with the labels of b permuted (both are standardised and symmetric)."""
    return float(np.vdot(a, b[order][:, order])) / 2
