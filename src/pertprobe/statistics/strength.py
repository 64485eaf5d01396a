"""What effect strength alone explains: the smooth trend of similarities and scores along the ranks of strength.

Members of a program are the stronger ones even within a narrow window of strength, where strong perturbations were more
likely to be found. With many members that small difference is larger than the spread of the null. What a polynomial of
both strength ranks explains is therefore removed before sets are compared, from the whole matrix at once: the trend
does not know which units are members.
"""

import numpy as np
from numpy.typing import ArrayLike

from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.sets import Floats

DEGREE = 3
"""Degree of the polynomials in strength rank."""


def strength_basis(strength: ArrayLike, linear: bool = False) -> Floats:
    """Return orthonormal polynomials [n_units, k] in strength's mid-rank; with `linear`, strength itself as well.

    Raises:
        ValueError: a strength is missing or infinite.
    """
    strength = np.asarray(strength, dtype=np.float64)
    if not np.isfinite(strength).all():
        raise ValueError("strength must be finite for every unit")
    ranks = (average_ranks(strength) - 0.5) / max(strength.size, 1)
    columns = np.polynomial.legendre.legvander(2 * ranks - 1, DEGREE)
    if linear:
        columns = np.column_stack([columns, strength / max(np.abs(strength).max(initial=0.0), 1e-300)])
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > 1e-8 * sizes[0]]  # equal strengths leave fewer directions


def scores_without_strength(scores: ArrayLike, strength: ArrayLike) -> Floats:
    """Return scores [n_units] less what strength explains: least squares on polynomials in its rank and on itself.

    Itself, because a score may grow with strength without bound, where a similarity levels off.
    """
    scores, basis = np.asarray(scores, dtype=np.float64), strength_basis(strength, linear=True)
    return scores - basis @ (basis.T @ scores)


def pairs_without_strength(similarity: ArrayLike, strength: ArrayLike) -> Floats:
    """Return a symmetric similarity [P, P] less what strength explains: b_i' C b_j, least squares over pairs i != j.

    b_i are the polynomials of unit i, C is symmetric. The diagonal S_ii has no say, which leaves the normal equations
    C - sum_i b_i b_i' C b_i b_i' = B'SB - sum_i S_ii b_i b_i'.
    """
    similarity, basis = np.asarray(similarity, dtype=np.float64), strength_basis(strength)
    own = np.einsum("ik,il->ikl", basis, basis).reshape(len(basis), -1)
    wanted = (basis.T @ similarity @ basis).ravel() - np.diagonal(similarity) @ own
    coefficients, *_ = np.linalg.lstsq(np.eye(wanted.size) - own.T @ own, wanted, rcond=None)
    return similarity - basis @ coefficients.reshape(2 * basis.shape[1:]) @ basis.T
