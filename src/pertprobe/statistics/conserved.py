"""Features read in two models: which follow the same perturbations, and do programs use the same ones?"""

from math import inf, nan
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pertprobe.shapes import Array, Float, Integer, Like, Num
from pertprobe.statistics.arrays import Floats, Integers, Members, PerUnit
from pertprobe.statistics.outside import sets_outside, share_of_own
from pertprobe.statistics.permutation import ScoreOfSets, Test, permutation_test, summary, with_stratified
from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.sets import orders_within, scores_without_strength, strength_blocks

BATCH = 4_000_000
"""Values (draws x perturbations x features) in memory at once."""


class Conserved(NamedTuple):
    """Features of two models over the same perturbations."""

    r: Floats
    """Spearman's r of each feature [F]; nan where it is constant in a model."""
    test: Test
    """The share of varying features with r above the bound, against relabelled perturbations of one model."""
    p: Floats
    """Of each feature alone [F]: (b + 1) / (m + 1) of its r under the null that the test uses; nan where it is."""

    @property
    def varying(self) -> NDArray[np.bool_]:
        """Which features vary in both models [F]."""
        return np.isfinite(self.r)


def feature_correlations(x: Num[Like, "unit feature"], y: Num[Like, "unit feature"]) -> Float[Array, " feature"]:
    """Return Spearman's r of each feature [F] of two models [P, F]; nan where it is constant in one."""
    x, y = (_standardised_ranks(np.asarray(side, dtype=np.float64)) for side in (x, y))
    return (x * y).sum(axis=0)


def conserved_features(
    x: Num[Like, "unit feature"],
    y: Num[Like, "unit feature"],
    strength: PerUnit | None,
    bound: float,
    m: int,
    rng: Generator,
) -> Conserved | None:
    """Correlate each feature of one model with itself in another, and count those above a bound.

    The null relabels the perturbations of one model for all features at once, so that what features share stays: among
    all perturbations (p), and stratified by strength (p_stratified), since features that only follow strength are alike
    in any two models whose strengths are. There, what polynomials in strength's rank explain of each feature's ranks
    stays in place, and the rest is exchanged among perturbations of like strength.

    Args:
        x: [P, F] of one model.
        y: [P, F] of the other, the same perturbations and features.
        strength: of the perturbations [P]; None = p alone.
        bound: on r.
        m: draws of each null.
        rng: numpy's generator.

    Returns:
        None where no feature varies in both.
    """
    x, y = (_standardised_ranks(np.asarray(side, dtype=np.float64)) for side in (x, y))
    kept, n_features = np.flatnonzero(np.isfinite(x).all(axis=0) & np.isfinite(y).all(axis=0)), x.shape[1]
    if kept.size == 0 or len(x) < 2:
        return None
    x, y = np.ascontiguousarray(x[:, kept]), np.ascontiguousarray(y[:, kept])
    own = (x * y).sum(axis=0)
    share = float((own > bound).mean())
    null, reached = _null(x, y, np.argsort(rng.random((m, len(x))), axis=1), own, bound)
    test = summary(share, null, inf, m)
    blocks = [] if strength is None else strength_blocks(strength)
    if len(blocks) > 1:
        rest = [scores_without_strength(side, strength, linear=False) for side in (x, y)]
        explained = own - (rest[0] * rest[1]).sum(axis=0)
        orders = orders_within(blocks, len(x), m, rng)
        null, reached = _null(*rest, orders, own - explained, bound - explained)
        test = with_stratified(test, summary(test.estimate, null, inf, m))
    r, p = np.full((2, n_features), np.nan)
    r[kept], p[kept] = own, (reached + 1) / (m + 1)
    return Conserved(r, test, p)


def _standardised_ranks(values: Floats) -> Floats:
    """Return mid-ranks over perturbations, of mean 0 and length 1 [P, F]; nan for a feature that does not vary."""
    ranks = average_ranks(_levelled(values))
    ranks -= ranks.mean(axis=0)
    length = np.linalg.norm(ranks, axis=0)
    return np.divide(ranks, length, out=np.full(ranks.shape, np.nan), where=length > 0)


def _levelled(values: Floats) -> Floats:
    """Return values with those of features that vary by float32 rounding alone made constant."""
    spread = values.max(axis=0, initial=-inf) - values.min(axis=0, initial=inf)
    flat = spread <= 1e-6 * np.abs(values).max(axis=0, initial=0.0)
    return np.where(flat, 0.0, values)


def _null(x: Floats, y: Floats, orders: Integers, own: Floats, bound: float | Floats) -> tuple[Floats, Integers]:
    """Return the share above the bound of each draw [m], and how many draws reach each feature's own r [F]."""
    shares, reached = np.empty(len(orders)), np.zeros(x.shape[1], dtype=np.intp)
    for start in range(0, len(orders), rows := max(1, BATCH // x.size)):
        drawn = np.einsum("pf,kpf->kf", x, y[orders[start : start + rows]])
        shares[start : start + rows] = (drawn > bound).mean(axis=1)
        reached += (drawn >= own - 1e-10).sum(axis=0)
    return shares, reached


def conservation(
    x: Num[Like, "unit feature"],
    y: Num[Like, "unit feature"],
    members: Members,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
) -> Test:
    """Test whether the features that half of the members load in one model are those the other half loads in another.

    The statistic is the cosine of the mean profile of one half (`halves`) in the first model with that of the other in
    the second: no unit is compared with itself, which a shared initialisation would make alike. It is one cosine of two
    means, neither a mean of cosines nor one over several splits: members that are alike in each model, but in unrelated
    features, have a cosine as large as any two directions have, and means of several would be that many times less
    likely under the null. Null: label permutation, as in `permutation.permutation_test`; in the matched sets each
    feature is adjusted for strength.

    Args:
        x: profiles [P, F] in the first model, centred.
        y: in the second.
        members: positions of the program's units; two or more.
        strength: of the units [P]; None = no strength-matched null.
        m: draws of each null.
        rng: numpy's generator.

    Returns:
        The test; `unit_sd` is what the statistic is where every scored member's score, the cosine of its profile with
        what the others name, is one sd of all other units' scores.
    """
    x, y = (_directions(np.asarray(side, dtype=np.float64)) for side in (x, y))
    members = np.unique(np.asarray(members, dtype=np.intp))
    adjusted = [each if strength is None else scores_without_strength(each, strength, linear=False) for each in (x, y)]
    rank = ranked(len(x), strength)
    scores = [_half_cosines(*sides, rank) for sides in ((x, y), adjusted)]
    test = permutation_test(scores[0], members, len(x), strength, m, rng, scores[1])
    held = test.p_used == "p_stratified"
    used, sides, matched = (scores[1], adjusted, strength) if held else (scores[0], (x, y), None)
    sets = sets_outside(members, len(x), matched, OUTSIDE, rng)
    effect = nan if sets is None else float(used(members[None])[0] - used(sets).mean())
    own, own_sd = share_of_own(members, len(x), matched, rng, pairs=True)
    return test._replace(effect=effect, unit_sd=_rise(*sides, members, rank), null_own=own, null_own_sd=own_sd)


OUTSIDE = 499
"""Sets of units outside a program, whose mean its effect is taken against."""


def ranked(n_units: int, strength: PerUnit | None) -> Integers:
    """Return the rank of each unit's strength [n_units], that of its position where there is none."""
    return np.argsort(np.arange(n_units) if strength is None else np.argsort(np.asarray(strength), kind="stable"))


def halves(
    units: Integer[Array, "*set member"], rank: Integer[Array, " unit"]
) -> tuple[Integer[Array, "*set naming"], Integer[Array, "*set scored"]]:
    """Return which of each set of units [..., n] name features, and which are scored: every other one by rank.

    Of an odd number one more is scored.
    """
    ordered = np.take_along_axis(units, np.argsort(rank[units], axis=-1), axis=-1)
    return ordered[..., 1::2], ordered[..., ::2]


def without_each(
    x: Num[Like, "unit feature"], y: Num[Like, "unit feature"], members: Members, strength: PerUnit | None
) -> Float[Array, " member"]:
    """Return the statistic of `conservation` without each of the members [n], three or more; for the jackknife."""
    members = np.unique(np.asarray(members, dtype=np.intp))
    sets = np.stack([np.delete(members, i) for i in range(members.size)])
    return _half_cosines(np.asarray(x, float), np.asarray(y, float), ranked(len(x), strength))(sets)


def _half_cosines(x: Floats, y: Floats, rank: Integers) -> ScoreOfSets:
    """Return what gives the statistic of each set [k, n] -> [k] of profiles [P, F]; 0 where a half has no direction.

    Profiles are brought to length 1, so that none weighs more; zero ones stay.
    """
    x, y = _directions(x), _directions(y)
    xy, xx, yy = x @ y.T, x @ x.T, y @ y.T

    def of_sets(sets: Integers) -> Floats:
        """Return it in batches of sets."""
        found, rows = np.empty(len(sets)), max(1, BATCH // sets.shape[1] ** 2)
        for start in range(0, len(sets), rows):
            naming, scored = halves(sets[start : start + rows], rank)
            pairs = ((xy, naming, scored), (xx, naming, naming), (yy, scored, scored))
            product, one, other = (gram[i[:, :, None], j[:, None, :]].sum(axis=(1, 2)) for gram, i, j in pairs)
            scale = np.sqrt(np.clip(one, 0.0, None) * np.clip(other, 0.0, None))
            found[start : start + rows] = np.divide(product, scale, out=np.zeros(len(product)), where=scale > 1e-12)
        return found

    return of_sets


def _rise(x: Floats, y: Floats, members: Integers, rank: Integers) -> float:
    """Return the cosine with a direction of the mean of n unrelated profiles whose own cosines with it are one sd."""
    naming, scored = halves(members, rank)
    named = _directions(_directions(x)[naming].mean(axis=0, keepdims=True))
    outside = np.delete(_directions(y) @ named[0], members)
    spread = outside.std(ddof=1) if outside.size > 1 else nan
    return float(spread / np.sqrt(1 / scored.size + spread**2))


def _directions(profiles: Floats) -> Floats:
    length = np.linalg.norm(profiles, axis=1, keepdims=True)
    return np.divide(profiles, length, out=np.zeros_like(profiles), where=length > 0)


def standardised(values: Num[Like, "unit feature"]) -> Float[Array, "unit feature"]:
    """Return each feature [P, F] less its mean over perturbations, in its standard deviations; 0 where constant."""
    values = _levelled(np.asarray(values, dtype=np.float64))
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
