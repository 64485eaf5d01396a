"""Label permutation: are programs more extreme than sets of perturbations, of any strength and of their own?

Two nulls answer it, both as draws of sets of the program's size. Uniform sets have its size only. Matched sets have its
effect strength too: programs of strong perturbations look coherent through the effect all perturbations share. With
them other nuisances are held (`nuisances.Beside`): batches, where units were trained, numbers of cells, shared axes.
"""

from collections.abc import Callable
from math import comb, inf, nan
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from pertprobe.shapes import Array, Float, Integer
from pertprobe.statistics.arrays import Floats, Integers, Members, PerUnit
from pertprobe.statistics.moments import Moments, score_moments, tail
from pertprobe.statistics.nuisances import NOTHING, Beside
from pertprobe.statistics.outside import scores_outside, share_of_own, spread_outside
from pertprobe.statistics.sets import strength_windows, uniform_sets

SEPARABLE = 0.01
"""A verdict uses p_stratified where the smallest p it can reach is at most this."""
ScoreOfSets = Callable[[Integers], Floats]


class Test(NamedTuple):
    """One-sided permutation test: is the statistic greater than under the null?"""

    estimate: float = nan
    """The statistic of the program itself."""
    null_mean: float = nan
    """Mean of the permutation null that `p_used` names."""
    null_sd: float = nan
    """Standard deviation of the same null (divided by its number of draws)."""
    null_skewness: float = nan
    """Skewness of the same null: nulls of means over few pairs reach further up than down. nan where it has no spread.
    """
    effect: float = nan
    """Estimate less what units outside the program have at the members' strengths (`statistics.outside`); less
    `null_mean` where the null holds no members beside the program's own arrangement. nan without units outside."""
    p: float = nan
    """(b + 1) / (m + 1) over uniform sets, or the share of all sets where visited; b = sets at least as large."""
    p_min: float = nan
    """Smallest `p` that can be reached: 1 / number of arrangements, or 1 / (m + 1) if sampled."""
    p_stratified: float = nan
    """(b + 1) / (m + 1) over strength-matched sets, all that is held taken from the score; nan where there are none."""
    p_min_stratified: float = nan
    """Smallest `p_stratified` that can be reached; nan where it does not exist."""
    p_strength: float = nan
    """The same with strength alone held, where more is held in `p_stratified`; nan elsewhere."""
    p_without_pair: float = nan
    """The p that is used of the members without one of the two most alike; nan below three members, or where pairs are
    not what is tested."""
    explained_by: str = ""
    """The stronger of the programs tested with it that explains most of its coherence, if it shares units with one."""
    p_beyond: float = nan
    """The p that is used of its units outside of that program; nan where they are fewer than two."""
    p_used: str = "p"
    """The field a verdict reads: "p" or "p_stratified"."""
    n_permutations: int = 0
    """Draws of the null that `p_used` names; 0 = every arrangement was visited."""
    p_tail: float = nan
    """Pearson type III tail of the uniform null's exact moments, at least 1 / arrangements; nan = none was made."""
    p_tie: float = nan
    """Share of the null `p_used` names that equals the estimate, the observed arrangement itself included."""
    null_own: float = 0.0
    """Mean over the sets of that null of the share of the statistic that is the program's own (`share_of_own`): what
    the members have beyond others is in the null in this share."""
    null_own_sd: float = 0.0
    """Standard deviation of that share."""
    unit_sd: float = nan
    """Standard deviation of the per-unit score over units outside the program; nan below two, or without such a score.

    The unit in which the strength d of planted programs and power are stated. It is that of the score whose null
    `p_used` names: without what strength explains where that is `p_stratified`.
    """
    note: str = ""
    """What a reader must know: "strength not separable" where strength was given and `p` had to be used."""


def randomised(test: Test, u: float) -> float:
    """Return the randomised p of a uniform number u in [0, 1]: the p that is used less u of the share of its ties.

    Under the null it is uniform on (0, 1), which p itself is not where scores are tied or draws few.
    """
    return getattr(test, test.p_used) - u * test.p_tie


def permutation_test(
    score_of_sets: ScoreOfSets,
    members: Members,
    n_units: int,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
    adjusted_score_of_sets: ScoreOfSets | None = None,
) -> Test:
    """Test whether the members' score is greater than that of other sets of their number, unstratified and matched.

    Args:
        score_of_sets: maps positions of units [k, n] to scores [k].
        members: positions of the program's units [n]; repeated ones count once.
        n_units: number of units in all.
        strength: effect strength [n_units], the norm of the model's own delta_y; None = no strength-matched null.
        m: number of draws of each null; the unstratified one visits all sets instead where there are at most m.
        rng: numpy's generator.
        adjusted_score_of_sets: the same without what nuisances explain of it, for the matched null (`stratified`).
    """
    members = np.unique(np.asarray(members, dtype=np.intp))
    estimate = float(score_of_sets(members[None])[0])
    null = score_of_sets(uniform_sets(members.size, n_units, m, rng))
    test = summary(estimate, null, arrangements=comb(n_units, members.size), m=m)
    if strength is not None:
        test = stratified(test, adjusted_score_of_sets or score_of_sets, members, strength, m, rng)
    return with_more_draws(test, null, score_of_sets, members.size, n_units, rng)


REFINED = 10
"""A set that no draw of its null reaches is compared with this many times as many."""
ROWS = 20_000
"""Sets in memory at once."""


def with_more_draws(
    test: Test, null: Floats, score_of_sets: ScoreOfSets, n_members: int, n_units: int, rng: Generator
) -> Test:
    """Return a test whose uniform null is used and has no draw that reaches the estimate, with more draws of it.

    p stays valid: it is that of all draws where none of the first reaches the estimate, and of the first otherwise,
    which is never less than what all draws would have given at p below 1 / (m + 1).
    """
    if test.p_used != "p" or not test.n_permutations or test.p > test.p_min:
        return test
    drawn = lambda m: score_of_sets(uniform_sets(n_members, n_units, m, rng))  # noqa: E731
    more = _more(null, drawn)
    found = summary(test.estimate, more, inf, more.size)
    return test._replace(**{name: getattr(found, name) for name in (*USED, "p", "p_min")})


def _more(null: Floats, drawn: Callable[[int], Floats]) -> Floats:
    """Return a null with `REFINED` times its draws, a limited number of sets at a time."""
    wanted = (REFINED - 1) * null.size
    return np.concatenate([null, *(drawn(min(ROWS, wanted - start)) for start in range(0, wanted, ROWS))])


SLOW = 9_999
"""Most draws of a matched null whose scores take long."""
FIRST, CLEAR = 999, 100
"""Draws of a matched null that are looked at first, and how many of them that reach the estimate end it: p is then
above 0.1, and further draws decide nothing."""


def stratified(
    test: Test,
    adjusted_score_of_sets: ScoreOfSets,
    members: Integer[Array, " member"],
    strength: PerUnit,
    m: int,
    rng: Generator,
    refined: bool = True,
) -> Test:
    """Add the strength-matched p to an unstratified test, and let a verdict use it where it can become small enough.

    Matched sets (`strength_windows`) still differ a little in strength from the members. `adjusted_score_of_sets` is
    the score without what nuisances explain of it; what they explain of the members' is added to every draw, so that
    each is scored as if it had the members'. Where no draw reaches the estimate, more are made (`REFINED`) if it is to
    be `refined`; scores that take long are not: they have `SLOW` draws at most, whose moments tell the tail. Where many
    of the first draws (`FIRST`) reach it no others are made.
    """
    windows, m = strength_windows(members, strength), m if refined else min(m, SLOW)
    if windows is None:
        return test._replace(note="strength not separable")
    explained = test.estimate - adjusted_score_of_sets(members[None])[0]
    drawn = lambda number: explained + adjusted_score_of_sets(windows.draw(number, rng))  # noqa: E731
    null = _until_clear(test.estimate, drawn, m)
    matched = summary(test.estimate, null, inf, null.size)
    if matched.p <= 1 / (m + 1) and windows.arrangements > m:
        matched = _refined(matched, null, drawn if refined else None)
    p_min = max(1 / windows.arrangements, min(matched.p_min, 1 / (m + 1)))
    matched = matched._replace(p_min=p_min)
    if p_min > SEPARABLE:
        return test._replace(p_stratified=matched.p, p_min_stratified=p_min, note="strength not separable")
    return with_stratified(test, matched)


def _refined(test: Test, null: Floats, drawn: Callable[[int], Floats] | None) -> Test:
    """Return a test that no draw reaches with a smaller p: of more draws, or without them of the null's moments."""
    if drawn is None:
        return by_moments(test)
    more = _more(null, drawn)
    return summary(test.estimate, more, inf, more.size)


def by_moments(test: Test) -> Test:
    """Return a test that no draw reaches with the p that its null's moments tell.

    The tail is the Pearson type III one (`moments.tail`), at least the p that `REFINED` times as many draws could give.
    """
    foretold = tail(test.estimate, test.null_mean, test.null_sd, test.null_skewness)
    least = test.p_min / REFINED
    return test._replace(p=min(test.p, max(least, foretold)), p_min=least)


def matched_p(
    score_of_sets: ScoreOfSets,
    members: Integer[Array, " member"],
    n_units: int,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
) -> float:
    """Return (b + 1) / (m + 1) over strength-matched sets, over any without strength; nan where there are none."""
    windows = None if strength is None else strength_windows(members, strength)
    if strength is not None and windows is None:
        return nan
    sets = uniform_sets(members.size, n_units, m, rng) if windows is None else windows.draw(m, rng)
    return summary(float(score_of_sets(members[None])[0]), score_of_sets(sets), inf, m).p


def _until_clear(estimate: float, drawn: Callable[[int], Floats], m: int) -> Floats:
    """Return m draws of a null, a limited number at a time, or only the first where these end it."""
    null = drawn(min(FIRST, m))
    if (null >= estimate).sum() >= CLEAR:
        return null
    return np.concatenate([null, *(drawn(min(ROWS, m - start)) for start in range(null.size, m, ROWS))])


def summary(estimate: float, null: Float[Array, " draw"], arrangements: float, m: int) -> Test:
    """Return the unstratified test of an estimate against draws of its null, exact where `arrangements` <= m.

    Scores within 1e-10 of the larger magnitude count as tied: sums in another order must not decide.
    """
    tolerance = 1e-10 * max(abs(estimate), float(np.abs(null).max()))
    at_least, above = int((null >= estimate - tolerance).sum()), int((null > estimate + tolerance).sum())
    exact = arrangements <= m
    own = 0 if exact else 1  # draws do not hold the observed arrangement itself
    p, p_tie = ((reached + own) / (null.size + own) for reached in (at_least, at_least - above))
    p_min, draws = (1 / arrangements, 0) if exact else (1 / (m + 1), null.size)
    mean, sd = float(null.mean()), float(null.std())
    moments = {"null_mean": mean, "null_sd": sd, "null_skewness": _skewness(null, mean, sd)}
    return Test(estimate, **moments, effect=estimate - mean, p=p, p_min=p_min, n_permutations=draws, p_tie=p_tie)


def _skewness(null: Floats, mean: float, sd: float) -> float:
    return float((((null - mean) / sd) ** 3).mean()) if sd > 1e-12 * abs(mean) else nan


def described(test: Test, effect: float, unit_sd: float, share: tuple[float, float]) -> Test:
    """Add effect, `unit_sd` and the program's own share of the null that is used, mean and spread."""
    return test._replace(effect=effect, unit_sd=unit_sd, null_own=share[0], null_own_sd=share[1])


def scaled(test: Test, factor: float) -> Test:
    """Return the test of a statistic that is a positive multiple of another."""
    multiplied = ("estimate", "null_mean", "null_sd", "effect", "unit_sd")
    return test._replace(**{name: factor * getattr(test, name) for name in multiplied})


def with_tail(test: Test, moments: Moments, n_units: int, members: Integers) -> Test:
    """Add `p_tail` from the moments of the uniform null."""
    return test._replace(p_tail=max(tail(test.estimate, *moments), 1 / comb(n_units, members.size)))


def mean_score(
    scores: PerUnit,
    members: Members,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
    beside: Beside = NOTHING,
) -> Test:
    """Test whether members score higher: mean of `scores` [P] over members, against sets of the others and themselves.

    Units whose score is nan are left out, as members and as candidates. Members stay in the pool: the observed labels
    are one of the arrangements. In the strength-matched null, strength and the groups and numbers of cells `beside` it
    are taken from the score too.

    Raises:
        ValueError: no member has a score.
    """
    scores, members = np.asarray(scores, dtype=np.float64), np.asarray(members, dtype=np.intp)
    scored = np.unique(members[np.isfinite(scores[members])])
    if scored.size == 0:
        raise ValueError("mean_score needs a member that has a score")
    pool = np.flatnonzero(np.isfinite(scores))
    scores, chosen = scores[pool], np.searchsorted(pool, scored)
    strength = None if strength is None else np.asarray(strength)[pool]
    adjusted = scores if strength is None else beside.of(pool).scores_without(scores, strength)
    of_sets, adjusted_of_sets = (lambda sets, each=each: each[sets].mean(axis=1) for each in (scores, adjusted))
    test = permutation_test(of_sets, chosen, pool.size, strength, m, rng, adjusted_of_sets)
    test = with_tail(test, score_moments(scores, chosen.size), pool.size, chosen)
    held = test.p_used == "p_stratified"
    used, strength = (adjusted, strength) if held else (scores, None)
    effect = float(used[chosen].mean()) - scores_outside(used, chosen, strength)
    share = share_of_own(chosen, pool.size, strength, rng)
    return described(test, effect, spread_outside(used, chosen), share)


USED = ("null_mean", "null_sd", "null_skewness", "effect", "n_permutations", "p_tie")
"""What a test holds of the null that `p_used` names."""


def with_stratified(test: Test, matched: Test) -> Test:
    """Add the p of a test of the same estimate whose null is stratified by strength, and let a verdict use it."""
    used = {name: getattr(matched, name) for name in USED}
    return test._replace(p_stratified=matched.p, p_min_stratified=matched.p_min, p_used="p_stratified", **used)
