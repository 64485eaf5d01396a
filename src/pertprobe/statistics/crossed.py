"""Profiles of the same units in two models: how alike are unit i of the one and unit j of the other?"""

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from pertprobe.statistics.paired import PairedTest, paired_profile_test
from pertprobe.statistics.sets import Floats, Integers
from pertprobe.statistics.strength import strength_basis

STRATUM = 8
"""Fewest units of a stratum of like strength."""
MOST_STRATA = 10


def pearson_matrix(
    a: ArrayLike, b: ArrayLike, a_outputs: ArrayLike, b_outputs: ArrayLike, left_out: ArrayLike | None = None
) -> Floats:
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
    own, other = (_positions(each, keep)[:, None] for each in (a_outputs, b_outputs))
    other = other.T
    repeated = np.where(other == own, -1, other)
    n = keep.size - (own >= 0).astype(int) - (repeated >= 0)
    left = [(_at(a, own, rows=True), _at(b, own)), (_at(a, repeated, rows=True), _at(b, repeated))]
    x, y = (-sum(pair[side] for pair in left) for side in (0, 1))
    xx, yy = (
        (each**2).sum(axis=1).reshape(shape) - sum(pair[side] ** 2 for pair in left)
        for each, shape, side in ((a, (-1, 1), 0), (b, (1, -1), 1))
    )
    xy = a @ b.T - sum(pair[0] * pair[1] for pair in left)
    spread = [squares - sums**2 / np.maximum(n, 1) for squares, sums in ((xx, x), (yy, y))]
    scale = np.sqrt(np.clip(spread[0], 0, None) * np.clip(spread[1], 0, None))
    flat = (spread[0] <= 1e-12 * xx) | (spread[1] <= 1e-12 * yy)  # constant to rounding
    return np.divide(xy - x * y / np.maximum(n, 1), scale, out=np.full(xy.shape, np.nan), where=~flat & (scale > 0))


def _positions(outputs: ArrayLike, keep: Integers) -> Integers:
    """Number outputs among those kept; -1 for none."""
    outputs = np.asarray(outputs, dtype=np.intp)
    return np.where(np.isin(outputs, keep), np.searchsorted(keep, outputs), -1)


def _at(profiles: Floats, outputs: Integers, rows: bool = False) -> Floats:
    """Return for each pair the value at an output, of the pair's first (`rows`) or second profile; 0 for none."""
    index = np.arange(len(profiles))
    values = profiles[index[:, None] if rows else index[None], np.maximum(outputs, 0)]
    return np.where(outputs >= 0, values, 0.0)


def without_strength(r: ArrayLike, strength_a: ArrayLike, strength_b: ArrayLike) -> Floats:
    """Return r [n, n] less what the two strengths explain: a_i' C b_j, least squares over pairs i != j.

    a_i and b_j are polynomials in the rank of the unit's strength in each model. The matched pairs have no say, so that
    what they have beyond their strengths stays. Solved as in `strength.pairs_without_strength`.
    """
    r, a, b = np.asarray(r, dtype=np.float64), strength_basis(strength_a), strength_basis(strength_b)
    own = np.einsum("ik,il->ikl", a, b).reshape(len(a), -1)
    wanted = (a.T @ r @ b).ravel() - np.diagonal(r) @ own
    coefficients, *_ = np.linalg.lstsq(np.eye(wanted.size) - own.T @ own, wanted, rcond=None)
    return r - a @ coefficients.reshape(a.shape[1], b.shape[1]) @ b.T


def strata(strength: ArrayLike) -> Integers:
    """Return the stratum [n] of each unit: up to MOST_STRATA of like strength, of STRATUM units or more each."""
    order = np.argsort(np.asarray(strength), kind="stable")
    number = int(np.clip(order.size // STRATUM, 1, MOST_STRATA))
    found = np.empty(order.size, dtype=np.intp)
    found[order] = np.arange(order.size) * number // max(order.size, 1)
    return found


def crossed_test(
    r: ArrayLike, strength_a: ArrayLike, strength_b: ArrayLike, m: int, rng: Generator, members: ArrayLike | None = None
) -> PairedTest:
    """Test r_ii against r_ij, j of like strength: `paired_profile_test` with strength held.

    Profile j of the second model stands in for profile i, so partners are of its stratum there. Within a stratum
    members may still be the stronger ones: the null is that of r `without_strength`, and what strength explains of the
    estimate is added to every draw, as in `permutation.with_strength_held`.

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
    held = np.full(r.shape, np.nan)
    if known.size > 1:
        sides = (np.asarray(each)[known] for each in (strength_a, strength_b))
        held[np.ix_(known, known)] = without_strength(r[np.ix_(known, known)], *sides)
    plain = paired_profile_test(r, groups, 1, np.random.default_rng(0), members=members)
    found = paired_profile_test(held, groups, m, rng, members=members)
    explained = plain.test.estimate - found.test.estimate
    shifted = found.test._replace(estimate=plain.test.estimate, null_mean=found.test.null_mean + explained)
    return plain._replace(test=shifted)
