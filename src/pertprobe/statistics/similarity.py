"""Similarity of profiles: cosine after the shared effect is removed, rank correlation without own outputs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pertprobe.shapes import Array, Bool, Float, Integer, Like, Num
from pertprobe.statistics.arrays import Floats, Members, Pairwise, Profiles
from pertprobe.statistics.ranks import average_ranks


def centred(profiles: Profiles) -> Float[Array, "unit feature"]:
    """Remove the shared effect: the mean over perturbations of `profiles` [P, F]."""
    profiles = np.asarray(profiles, dtype=np.float64)
    return profiles - profiles.mean(axis=0)


def without_shared(profiles: Profiles) -> Float[Array, "unit feature"]:
    """Remove the shared effect of any size: of each of `profiles` [P, F] its part along their mean, then the mean.

    Where perturbations differ in how much they have of what all share, their centred profiles resemble each other by
    that alone.
    """
    profiles = np.asarray(profiles, dtype=np.float64)
    mean = profiles.mean(axis=0)
    squared = mean @ mean
    along = (profiles @ mean / squared)[:, None] * mean if squared > 0 else 0.0
    return centred(profiles - along)


def cosine_similarity(profiles: Profiles) -> Float[Array, "unit unit"]:
    """Return cosines [P, P] between the rows of `profiles` [P, F].

    A zero row (a perturbation that does nothing) resembles nothing: its similarities, also to itself, are 0.
    """
    profiles = np.asarray(profiles, dtype=np.float64)
    largest = np.abs(profiles).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(profiles, largest, out=np.zeros_like(profiles), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    directions = np.divide(scaled, norms, out=np.zeros_like(scaled), where=norms > 0)
    return np.clip(directions @ directions.T, -1.0, 1.0)


def over_spread(pairs: Pairwise) -> Float[Array, "unit unit"]:
    """Return pairs [n, n] over the spread of both their units: the root mean square of a unit's pairs with others.

    Once a trend is taken from a similarity, pairs of some units still spread wider than others', and the largest are
    theirs (scaled neighbourhoods against such hubs: Schnitzer et al. 2012). Pairs of a unit that has none but 0 stay 0.
    """
    values = np.array(pairs, dtype=np.float64)
    np.fill_diagonal(values, 0.0)
    spread = np.sqrt(np.square(values).sum(axis=1) / max(len(values) - 1, 1))
    both = np.outer(spread, spread)
    return np.divide(values, both, out=np.zeros_like(values), where=both > 0)


def spearman_matrix(
    a: Num[Like, "first output"],
    b: Num[Like, "second output"],
    a_outputs: Integer[Like, " first"] | Sequence[int],
    b_outputs: Integer[Like, " second"] | Sequence[int],
    left_out: Members | None = None,
) -> Float[Array, "first second"]:
    """Correlate ranks of profile i of `a` [n, G] and j of `b` [m, G] over outputs without those of i and j: [n, m].

    Ranks are taken again after the outputs are removed, ties sharing their mean rank: exactly the Spearman correlation
    of what remains. Removing one output from a ranked profile lowers the ranks above it by 1, those tied by 1/2.

    Args:
        a: profiles in one context.
        b: profiles in the other.
        a_outputs: the output [n] that is the knocked gene of each profile of `a`; -1 where it is not an output.
        b_outputs: the same for `b` [m].
        left_out: outputs left out of every pair (the program's own members, for program rows).

    Returns:
        Correlations; nan for a profile that is constant over what remains.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    keep = np.setdiff1d(np.arange(a.shape[1]), [] if left_out is None else left_out)
    a_outputs, b_outputs = kept_positions(a_outputs, keep), kept_positions(b_outputs, keep)
    a, b = a[:, keep], b[:, keep]
    a_ranks, b_ranks = (
        _ranks_without(each, average_ranks(each, axis=1), own) for each, own in ((a, a_outputs), (b, b_outputs))
    )
    return np.stack([_row(a[i], a_ranks[i], int(a_outputs[i]), b, b_ranks, b_outputs) for i in range(len(a))])


def kept_positions(outputs: ArrayLike, keep: np.ndarray) -> np.ndarray:
    """Number outputs among those kept; -1 for none."""
    outputs = np.asarray(outputs, dtype=np.intp)
    return np.where(np.isin(outputs, keep), np.searchsorted(keep, outputs), -1)


def _row(a: Floats, a_ranks: Floats, output: int, b: Floats, b_ranks: Floats, b_outputs: np.ndarray) -> Floats:
    """Correlate one profile `a` [G] with all of `b` [m, G]; all ranks are already without own outputs."""
    own = np.full(len(b), output)
    repeated = np.where(b_outputs == output, -1, b_outputs)  # an output both have leaves only once
    a_ranks = _ranks_without(np.broadcast_to(a, b.shape), a_ranks, repeated)
    b_ranks = _ranks_without(b, b_ranks, np.where(b_outputs == output, -1, own))
    gone = marks(own, b.shape[1]) | marks(b_outputs, b.shape[1])
    centre = (b.shape[1] - gone.sum(axis=1, keepdims=True) + 1) / 2
    x, y = np.where(gone, 0.0, a_ranks - centre), np.where(gone, 0.0, b_ranks - centre)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.divide((x * y).sum(axis=1), scale, out=np.full(len(b), np.nan), where=scale > 0)


def _ranks_without(values: Floats, ranks: Floats, outputs: np.ndarray) -> Floats:
    """Re-rank rows after the removal of one output each (-1 = none); the rank left at that output means nothing."""
    removed = np.take_along_axis(values, np.maximum(outputs, 0)[:, None], axis=1)
    removed = np.where(outputs[:, None] < 0, np.inf, removed)
    return ranks - 0.5 * ((values > removed).astype(np.float64) + (values >= removed))


def marks(places: ArrayLike, width: int) -> np.ndarray:
    """Return True at the place of each row [n], none where it is -1: [n, width]."""
    return np.asarray(places)[:, None] == np.arange(width)


def contrast(changes: Profiles, named: Bool[Like, " unit"]) -> Float[Array, " feature"]:
    """Return the mean change of the named perturbations less that of all others: changes [P, F], named [P] -> [F].

    All others include the program's remaining members: perturbations that are not named are treated alike. Where none
    is named the contrast is 0.
    """
    changes, named = np.asarray(changes, dtype=np.float64), np.asarray(named, dtype=bool)
    if not named.any():
        return np.zeros(changes.shape[1])
    others = changes[~named].mean(axis=0) if (~named).any() else 0.0
    return changes[named].mean(axis=0) - others
