"""Label permutation: is a program more extreme than sets of perturbations, of any strength and of its own?

Two nulls answer it, both as draws of sets of the program's size. Uniform sets hold the size only. Matched sets hold the
effect strength too: programs of strong perturbations look coherent through the effect all perturbations share.
"""

from collections.abc import Callable
from itertools import combinations
from math import comb, exp, inf, log, nan
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

ENOUGH_ARRANGEMENTS = 1000
"""A strength-matched null with fewer distinct sets is widened."""
SEPARABLE = 0.01
"""A verdict uses p_stratified where the smallest p it can reach is at most this."""


class Test(NamedTuple):
    """One-sided permutation test: is the statistic greater than under the null?"""

    estimate: float
    """The statistic of the program itself."""
    null_mean: float
    """Mean of the permutation null that `p_used` names."""
    null_sd: float
    """Standard deviation of the same null (divided by its number of draws)."""
    p: float
    """(b + 1) / (m + 1) over uniform sets, or the share of all sets where visited; b = sets at least as large."""
    p_min: float
    """Smallest `p` that can be reached: 1 / number of arrangements, or 1 / (m + 1) if sampled."""
    p_stratified: float
    """(b + 1) / (m + 1) over strength-matched sets; nan where they do not exist."""
    p_min_stratified: float
    """Smallest `p_stratified` that can be reached; nan where it does not exist."""
    p_used: str
    """The field a verdict reads: "p" or "p_stratified"."""
    n_permutations: int
    """Draws of the null that `p_used` names; 0 = every arrangement was visited."""
    p_tail: float
    """Tail approximation of p; nan = none was made."""
    note: str
    """What a reader must know: "strength not separable" where strength was given and `p` had to be used."""


class MatchedSets(NamedTuple):
    """Sets in which each member is replaced by a perturbation of like strength."""

    sets: Integers
    """Positions of perturbations [m, n], each row in order of strength rank."""
    arrangements: float
    """Exact number of distinct sets (infinite above 1e300)."""
    window: int
    """How many perturbations, itself included, a member may be replaced by."""


def uniform_sets(n_members: int, n_units: int, m: int, rng: Generator) -> Integers:
    """Return sets of distinct units [m, n_members], uniform; all C(n_units, n_members) of them where they are <= m."""
    if comb(n_units, n_members) <= m:
        return np.array(list(combinations(range(n_units), n_members)), dtype=np.intp).reshape(-1, n_members)
    rows = max(1, 4_000_000 // n_units)
    chunks = (min(rows, m - start) for start in range(0, m, rows))
    keys = (rng.random((chunk, n_units)) for chunk in chunks)
    return np.concatenate([np.argpartition(key, n_members - 1, axis=1)[:, :n_members] for key in keys])


def matched_sets(
    members: ArrayLike, strength: ArrayLike, m: int, rng: Generator, *, share: float = 0.02
) -> MatchedSets | None:
    """Return sets of the members' own strength, or None where they do not exist.

    Each member at rank r of `strength` [n_units] may be replaced by any of the k perturbations nearest in rank, itself
    included: a window of k ranks around r, moved inwards at the ends. Draws are uniform over the *distinct sets* that
    arise without replacement. A set arises exactly if, sorted by rank, its i-th perturbation lies in the window of the
    i-th member (windows have increasing ends, so crossed assignments can be uncrossed): increasing sequences, which a
    table counts and samples exactly. k = `share` of the perturbations, at least 5, raised until 1,000 sets exist; above
    half of all perturbations there is no such null. Equal strengths are ranked by position.
    """
    order = np.argsort(np.asarray(strength), kind="stable")
    ranks = np.sort(np.argsort(order, kind="stable")[np.asarray(members)])
    for window in range(max(5, round(share * order.size)), order.size // 2 + 1):
        table, log_arrangements = _increasing_sequences(ranks, window, order.size)
        if log_arrangements >= log(ENOUGH_ARRANGEMENTS) - 1e-9:
            arrangements = exp(log_arrangements) if log_arrangements < 690 else inf
            return MatchedSets(order[_sample_sequences(table, m, rng)], arrangements, window)
    return None


def _increasing_sequences(ranks: Integers, window: int, n_units: int) -> tuple[Floats, float]:
    """Count s_1 < ... < s_i, s_j in the j-th window: shares cumulated over s_i [n, n_units]; log of the total."""
    starts = np.clip(ranks - window // 2, 0, n_units - window)
    table, log_scale, before = np.zeros((ranks.size, n_units)), 0.0, np.ones(n_units)
    for row, start in zip(table, starts, strict=True):
        row[start : start + window] = before[start : start + window]
        if not row.any():
            return table, -inf
        log_scale += log(row.sum())
        row[:] = np.cumsum(row / row.sum())
        before = np.concatenate([[0.0], row[:-1]])
    return table, log_scale


def _sample_sequences(table: Floats, m: int, rng: Generator) -> Integers:
    """Draw m increasing sequences [m, n], uniform over those the table counts, from the last element backwards."""
    sequences = np.empty((m, len(table)), dtype=np.intp)
    below = np.full(m, table.shape[1])
    for i in reversed(range(len(table))):
        below = np.searchsorted(table[i], rng.random(m) * table[i, below - 1], side="right")
        sequences[:, i] = below
    return sequences


def permutation_test(
    score_of_sets: Callable[[Integers], Floats],
    members: ArrayLike,
    n_units: int,
    strength: ArrayLike | None,
    m: int,
    rng: Generator,
    excluded: ArrayLike | None = None,
) -> Test:
    """Test whether the members' score is greater than that of other sets of their number, unstratified and matched.

    Args:
        score_of_sets: maps positions of units [k, n] to scores [k].
        members: positions of the program's units [n]; repeated ones count once.
        n_units: number of units in all.
        strength: effect strength [n_units], the norm of the model's own delta_y; None = no strength-matched null.
        m: number of draws of each null; the unstratified one visits all sets instead where there are at most m.
        rng: numpy's generator.
        excluded: units that no set may hold, other than members (section 6: the program's perturbations that are not in
            the panel). Members themselves stay in the pool, so that the observed labels are one of the arrangements and
            the test is exact under exchange of labels.
    """
    members = np.unique(np.asarray(members, dtype=np.intp))
    pool = np.setdiff1d(np.arange(n_units), np.setdiff1d(np.asarray([] if excluded is None else excluded), members))
    estimate = float(score_of_sets(members[None])[0])
    null = score_of_sets(pool[uniform_sets(members.size, pool.size, m, rng)])
    test = summary(estimate, null, arrangements=comb(pool.size, members.size), m=m)
    if strength is None:
        return test
    matched = matched_sets(np.searchsorted(pool, members), np.asarray(strength)[pool], m, rng)
    if matched is None:
        return test._replace(note="strength not separable")
    return _with_strength_held(test, score_of_sets(pool[matched.sets]), matched.arrangements, m)


def _with_strength_held(test: Test, null: Floats, arrangements: float, m: int) -> Test:
    """Add the strength-matched p, and let a verdict use it where it can become small enough."""
    held = summary(test.estimate, null, arrangements=inf, m=m)
    p_min = max(1 / arrangements, 1 / (m + 1))
    test = test._replace(p_stratified=held.p, p_min_stratified=p_min)
    if p_min > SEPARABLE:
        return test._replace(note="strength not separable")
    return test._replace(
        null_mean=held.null_mean, null_sd=held.null_sd, n_permutations=held.n_permutations, p_used="p_stratified"
    )


def summary(estimate: float, null: Floats, arrangements: float, m: int) -> Test:
    """Return the unstratified test of an estimate against draws of its null, exact where `arrangements` <= m.

    Scores within 1e-10 of the larger magnitude count as tied: sums in another order must not decide.
    """
    tolerance = 1e-10 * max(abs(estimate), float(np.abs(null).max()))
    at_least, exact = int((null >= estimate - tolerance).sum()), arrangements <= m
    return Test(
        estimate=estimate,
        null_mean=float(null.mean()),
        null_sd=float(null.std()),
        p=at_least / null.size if exact else (at_least + 1) / (null.size + 1),
        p_min=1 / (arrangements if exact else m + 1),
        p_stratified=nan,
        p_min_stratified=nan,
        p_used="p",
        n_permutations=0 if exact else null.size,
        p_tail=nan,
        note="",
    )


def coherence(similarity: ArrayLike, members: ArrayLike, strength: ArrayLike | None, m: int, rng: Generator) -> Test:
    """Test whether members resemble each other: mean of `similarity` [P, P] over pairs i < j of members.

    Raises:
        ValueError: fewer than two members, which form no pair.
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    if np.unique(np.asarray(members)).size < 2:
        raise ValueError("coherence needs at least two members")
    return permutation_test(lambda sets: pair_means(similarity, sets), members, len(similarity), strength, m, rng)


def pair_means(similarity: Floats, sets: Integers) -> Floats:
    """Return the mean of a symmetric `similarity` [P, P] over the pairs of each set: sets [k, n] -> [k]."""
    first, second = np.triu_indices(sets.shape[1], 1)
    rows = max(1, 2_000_000 // first.size)
    chunks = (sets[start : start + rows] for start in range(0, len(sets), rows))
    return np.concatenate([similarity[chunk[:, first], chunk[:, second]].mean(axis=1) for chunk in chunks])


def mean_score(
    scores: ArrayLike,
    members: ArrayLike,
    strength: ArrayLike | None,
    m: int,
    rng: Generator,
    excluded: ArrayLike | None = None,
) -> Test:
    """Test whether members score higher: mean of `scores` [P] over members, against sets of the others and themselves.

    Units whose score is nan are left out, as members and as candidates; `excluded` as in `permutation_test`.

    Raises:
        ValueError: no member has a score.
    """
    scores, members = np.asarray(scores, dtype=np.float64), np.asarray(members, dtype=np.intp)
    scored = members[np.isfinite(scores[members])]
    if scored.size == 0:
        raise ValueError("mean_score needs a member that has a score")
    left_out = np.union1d(np.flatnonzero(~np.isfinite(scores)), [] if excluded is None else excluded).astype(np.intp)
    return permutation_test(lambda sets: scores[sets].mean(axis=1), scored, scores.size, strength, m, rng, left_out)
