"""Label permutation: are programs more extreme than sets of perturbations, of any strength and of their own?

Two nulls answer it, both as draws of sets of the program's size. Uniform sets have its size only. Matched sets have its
effect strength too: programs of strong perturbations look coherent through the effect all perturbations share.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from math import comb, inf, nan
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from pertprobe.shapes import Array, Float, Integer
from pertprobe.statistics.arrays import Floats, Integers, Members, Pairwise, PerUnit
from pertprobe.statistics.moments import Moments, PairSums, pair_means, prefix_pair_means, score_moments, tail
from pertprobe.statistics.outside import PairsOutside, scores_outside, share_of_own
from pertprobe.statistics.sets import (
    pairs_without_strength,
    random_orders,
    scores_without_strength,
    strength_windows,
    uniform_sets,
)

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
    """(b + 1) / (m + 1) over strength-matched sets; nan where they do not exist."""
    p_min_stratified: float = nan
    """Smallest `p_stratified` that can be reached; nan where it does not exist."""
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
        adjusted_score_of_sets: the same without what strength explains of it, for the matched null (`stratified`).
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


def stratified(
    test: Test,
    adjusted_score_of_sets: ScoreOfSets,
    members: Integer[Array, " member"],
    strength: PerUnit,
    m: int,
    rng: Generator,
) -> Test:
    """Add the strength-matched p to an unstratified test, and let a verdict use it where it can become small enough.

    Matched sets (`strength_windows`) still differ a little in strength from the members. `adjusted_score_of_sets` is
    the score without what strength explains of it; what it explains of the members' is added to every draw, so that
    each is scored as if it had the members' strength. Where no draw reaches the estimate, more are made (`REFINED`).
    """
    windows = strength_windows(members, strength)
    if windows is None:
        return test._replace(note="strength not separable")
    explained = test.estimate - adjusted_score_of_sets(members[None])[0]
    drawn = lambda number: explained + adjusted_score_of_sets(windows.draw(number, rng))  # noqa: E731
    null = np.concatenate([drawn(min(ROWS, m - start)) for start in range(0, m, ROWS)])
    matched = summary(test.estimate, null, inf, m)
    if matched.p <= matched.p_min and windows.arrangements > m:
        null = _more(null, drawn)
        matched = summary(test.estimate, null, inf, null.size)
    p_min = max(1 / windows.arrangements, matched.p_min)
    matched = matched._replace(p_min=p_min)
    if p_min > SEPARABLE:
        return test._replace(p_stratified=matched.p, p_min_stratified=p_min, note="strength not separable")
    return with_stratified(test, matched)


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


def coherence(
    similarity: Pairwise,
    members: Members,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
    adjusted: Pairwise | None = None,
) -> Test:
    """Test whether members resemble each other: mean of `similarity` [P, P] over pairs i < j of members.

    In the strength-matched null, the similarity is adjusted for strength too (`pairs_without_strength`);
    `adjusted` is the adjusted similarity where that is made in another way. The per-unit score is a unit's mean
    similarity with the members.

    Raises:
        ValueError: fewer than two members, which form no pair.
    """
    similarity, members = np.asarray(similarity, dtype=np.float64), distinct(members)
    if adjusted is None:
        adjusted = similarity if strength is None else pairs_without_strength(similarity, strength)
    scores, adjusted_scores = (partial(pair_means, each) for each in (similarity, np.asarray(adjusted)))
    test = permutation_test(scores, members, len(similarity), strength, m, rng, adjusted_scores)
    test = with_tail(test, PairSums.of(similarity).moments(members.size), len(similarity), members)
    held = test.p_used == "p_stratified"
    return _of_pairs(test, PairsOutside.of(adjusted if held else similarity, strength if held else None), members, rng)


def _of_pairs(test: Test, used: PairsOutside, members: Integers, rng: Generator) -> Test:
    """Add effect, `unit_sd` and the program's own share of a coherence, of the similarity whose null is used."""
    effect = float(pair_means(used.similarity, members[None])[0]) - used.mean(members)
    scores = used.similarity[:, members].mean(axis=1)
    share = share_of_own(members, len(scores), used.strength, rng, pairs=True)
    return _described(test, effect, _spread_outside(scores, members), share)


def _described(test: Test, effect: float, unit_sd: float, share: tuple[float, float]) -> Test:
    return test._replace(effect=effect, unit_sd=unit_sd, null_own=share[0], null_own_sd=share[1])


def _spread_outside(scores: Floats, members: Integers) -> float:
    """Return the standard deviation of scores over units outside; nan below two."""
    outside = np.delete(scores, members)
    return float(outside.std(ddof=1)) if outside.size > 1 else nan


def distinct(members: Members) -> Integer[Array, " member"]:
    """Return the members, each once, in order; ValueError below two."""
    members = np.unique(np.asarray(members, dtype=np.intp))
    if members.size < 2:
        raise ValueError("coherence needs at least two members")
    return members


def with_tail(test: Test, moments: Moments, n_units: int, members: Integers) -> Test:
    """Add `p_tail` from the moments of the uniform null."""
    return test._replace(p_tail=max(tail(test.estimate, *moments), 1 / comb(n_units, members.size)))


def mean_score(
    scores: PerUnit,
    members: Members,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
) -> Test:
    """Test whether members score higher: mean of `scores` [P] over members, against sets of the others and themselves.

    Units whose score is nan are left out, as members and as candidates. Members stay in the pool: the observed labels
    are one of the arrangements. In the strength-matched null, the score is adjusted for strength too
    (`scores_without_strength`).

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
    adjusted = scores if strength is None else scores_without_strength(scores, strength)
    of_sets, adjusted_of_sets = (lambda sets, each=each: each[sets].mean(axis=1) for each in (scores, adjusted))
    test = permutation_test(of_sets, chosen, pool.size, strength, m, rng, adjusted_of_sets)
    test = with_tail(test, score_moments(scores, chosen.size), pool.size, chosen)
    held = test.p_used == "p_stratified"
    used, strength = (adjusted, strength) if held else (scores, None)
    effect = float(used[chosen].mean()) - scores_outside(used, chosen, strength)
    share = share_of_own(chosen, pool.size, strength, rng)
    return _described(test, effect, _spread_outside(used, chosen), share)


USED = ("null_mean", "null_sd", "null_skewness", "effect", "n_permutations", "p_tie")
"""What a test holds of the null that `p_used` names."""


def with_stratified(test: Test, matched: Test) -> Test:
    """Add the p of a test of the same estimate whose null is stratified by strength, and let a verdict use it."""
    used = {name: getattr(matched, name) for name in USED}
    return test._replace(p_stratified=matched.p, p_min_stratified=matched.p_min, p_used="p_stratified", **used)


BATCH = 1000
"""Random orders in the memory of a thread at once."""
UNIFORM = ""
"""The name whose generator draws the uniform null; no program has it."""


def coherence_tests(
    similarity: Pairwise,
    sets: Mapping[str, Members],
    strength: PerUnit | None,
    m: int,
    rng_of: Callable[[str], Generator],
    sums: PairSums | None = None,
    threads: int = 1,
) -> dict[str, Test]:
    """Test each set of positions as `permutation.coherence` does, in the same distribution.

    The first n units of a random order are a uniform set of n: m orders give the uniform null of every size, which all
    sets of that size share. The tests are therefore dependent across sets (each alone is not), and none depends on
    which other sets are tested.

    Args:
        similarity: symmetric [P, P].
        sets: name -> positions of members.
        strength: effect strength [P]; None = no strength-matched null.
        m: draws of each null.
        rng_of: the generator of a name: those of `sets` draw their matched sets, "" the uniform null.
        sums: PairSums.of(similarity), where known.
        threads: threads at work; the results do not depend on them.

    Raises:
        ValueError: a set has fewer than two members, or is called "".
    """
    if UNIFORM in sets:
        raise ValueError("coherence_tests needs a name for every set")
    members = {name: distinct(each) for name, each in sets.items()}
    similarity = np.asarray(similarity, dtype=np.float64)
    if strength is not None:
        # Units of like strength lie together, so that the matched sets of a program read little memory.
        order = np.argsort(np.asarray(strength), kind="stable")
        strength, similarity = np.asarray(strength)[order], similarity[np.ix_(order, order)]
        rank = np.argsort(order)
        members = {name: np.sort(rank[each]) for name, each in members.items()}
    adjusted = similarity if strength is None else pairs_without_strength(similarity, strength)
    sums = sums or PairSums.of(similarity)
    used = {"p": PairsOutside.of(similarity, None), "p_stratified": PairsOutside.of(adjusted, strength)}
    with ThreadPoolExecutor(threads) as pool:
        nulls = _uniform_nulls(similarity, {each.size for each in members.values()}, m, rng_of(UNIFORM), pool)

        def test(name: str) -> Test:
            """Test one set of members."""
            own, null, rng = members[name], nulls[members[name].size], rng_of(name)
            found = summary(
                float(pair_means(similarity, own[None])[0]), null, arrangements=comb(len(similarity), own.size), m=m
            )
            if strength is not None:
                found = stratified(found, partial(pair_means, adjusted), own, strength, m, rng)
            found = with_more_draws(found, null, partial(pair_means, similarity), own.size, len(similarity), rng)
            found = with_tail(found, sums.moments(own.size), len(similarity), own)
            return _of_pairs(found, used[found.p_used], own, rng)

        return dict(zip(members, pool.map(test, members), strict=True))


def _uniform_nulls(similarity: Floats, sizes: set[int], m: int, rng: Generator, pool: Executor) -> dict[int, Floats]:
    """Return the mean over pairs of m uniform sets of each size, or of all sets where there are at most m."""
    visited = {n for n in sizes if comb(len(similarity), n) <= m}
    nulls = {n: pair_means(similarity, uniform_sets(n, len(similarity), m, rng)) for n in visited}
    sampled, starts = sorted(sizes - visited), range(0, m, BATCH)
    if not sampled:
        return nulls
    drawn = np.empty((len(sampled), m))

    def fill(start: int, own: Generator) -> None:
        """Fill in the nulls of one batch of orders."""
        orders = random_orders(min(BATCH, m - start), sampled[-1], len(similarity), own)
        drawn[:, start : start + BATCH] = prefix_pair_means(similarity, orders, sampled)

    list(pool.map(fill, starts, rng.spawn(len(starts))))
    return nulls | dict(zip(sampled, drawn, strict=True))
