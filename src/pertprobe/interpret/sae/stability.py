"""Are a sparse autoencoder's features found again from another seed, and more than by chance?

Source: methods.md, Stability over seeds.

Features of two SAEs are matched one-to-one by their mean activation under each perturbation. Even features that mean
nothing find partners among hundreds, so the matching is repeated with the perturbations of one SAE permuted. That null
says what two unrelated activations give. Two SAEs read the *same* activations, and agree beyond it before any training:
the row of the untrained SAEs stands beside that of the trained ones.
"""

from collections.abc import Callable, Sequence
from math import exp, inf, lgamma
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pertprobe.statistics.arrays import Floats, Integers
from pertprobe.statistics.permutation import summary
from pertprobe.statistics.power import benjamini_hochberg

Strings = NDArray[np.str_]

ALIKE = 0.7
"""Matched features with a larger correlation are counted as found again."""
DRAWS, FEWEST_DRAWS, WORK = 199, 99, 5e12
"""Matchings of the null; where that many take more than WORK = draws x features^3, fewer, but at least FEWEST_DRAWS."""
STABLE = 0.05
"""A stable feature has q below this, and a decoder cosine that no more than this share of the untrained exceed."""
NEEDED = 3
"""Perturbations that must be exchangeable for a correlation to have a null."""


class Dictionary(NamedTuple):
    """A sparse autoencoder, as far as its stability goes."""

    profiles: pd.DataFrame
    """Mean activation [(model, perturbation) x feature], rows and columns named."""
    directions: Floats
    """The decoder direction of each feature [F, H]."""


class Stability(NamedTuple):
    """How well two SAEs match."""

    summary: dict[str, Any]
    """One row: columns as in `stability`."""
    features: pd.DataFrame
    """A row per feature of the first: feature, matched, correlation, null_mean, p, q, decoder_cosine."""


class Side(NamedTuple):
    """The features of one SAE that vary."""

    names: Strings
    values: Floats
    """Profiles [R, F], each of mean 0 within a model and of length 1."""
    directions: Floats
    """Decoder directions [F, H] of length 1."""


class Matching(NamedTuple):
    """Pairs of features, one-to-one."""

    subject: Integers
    partner: Integers
    correlation: Floats
    cosine: Floats
    """Of the decoder directions."""


MEASURED = (
    "estimate", "null_mean", "null_sd", "p", "p_min", "n_permutations", "share_alike", "null_share_alike",
    "null_largest", "decoder_cosine", "null_decoder_cosine",
)  # fmt: skip
"""Columns of a summary that are nan where nothing could be said."""


def stability(subject: Dictionary, partner: Dictionary, rng: Generator, m: int = DRAWS) -> Stability:
    """Match the features of two SAEs and compare with matchings under permuted perturbations.

    The statistic is the mean Pearson correlation of matched features over (model, perturbation), after each model's
    mean over perturbations is removed, maximised over all one-to-one matchings. The null permutes the names of the
    perturbations of one SAE, in all models alike, among those that the same models have. Features without variation
    are left out and counted.

    A single feature is held against its own correlations in the matchings of the null (p, and q over all features): one
    that a single perturbation drives finds a perfect partner by chance, so that no bound common to all would do.

    Args:
        subject: the SAE in question.
        partner: another of the same models.
        rng: numpy's generator.
        m: matchings under the null; bounded as WORK says.

    Returns:
        Summary columns: n, perturbations; features, features_other, those that vary; left_out, left_out_other, those
        that do not; estimate, null_mean, null_sd, p, p_min, n_permutations; share_alike, matched pairs above ALIKE, and
        its null mean null_share_alike; null_largest, the 95 % quantile over draws of the largest correlation in a
        matching of the null; decoder_cosine, mean over matched pairs, and null_decoder_cosine, the same over matchings
        of the null; reason, why nothing could be said (the numbers are nan then).

    Raises:
        ValueError: the profiles are not of the same models and perturbations.
    """
    rows = subject.profiles.sort_index().index
    if not rows.equals(partner.profiles.sort_index().index):
        raise ValueError("stability needs profiles of the same models and perturbations")
    sides, blocks = [_side(each, rows) for each in (subject, partner)], _exchangeable(rows)
    counts = {"n": rows.get_level_values("perturbation").nunique()}
    for suffix, side, given in zip(("", "_other"), sides, (subject, partner), strict=True):
        counts |= {f"features{suffix}": len(side.names), f"left_out{suffix}": len(given.directions) - len(side.names)}
    if reason := _reason(sides, blocks):
        return Stability({**counts, **dict.fromkeys(MEASURED, np.nan), "reason": reason}, _table(subject))
    found = _match(*sides, np.arange(len(rows)))
    null = [_match(*sides, _relabelled(blocks, rng)) for _ in range(_draws(m, sides))]
    numbers = _measured(found, null, blocks)
    return Stability({**counts, **numbers, "reason": ""}, _table(subject, _pairs(sides, found, null)))


def stability_tables(
    trained: Sequence[Dictionary], untrained: Sequence[Dictionary], random: Callable[[int], Generator], m: int = DRAWS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the SAE in use, the first, with each further one, trained and as both were before training.

    Args:
        trained: SAEs of the same activations from different seeds.
        untrained: the same ones before training: random directions.
        random: number of the further SAE -> generator; both comparisons are made with the same draws.
        m: matchings under the null.

    Returns:
        The summary: trained, seed, other, the columns of `stability`, and stable, the share of matched features that
        are; and the features of the SAE in use with those of each further trained one: the columns of
        `Stability.features`, other, and stable: they follow the same perturbations (q < STABLE), and their directions
        are closer than 95 % of those matched before training.
    """
    both, rows, features = {True: trained, False: untrained}, [], []
    for number in range(1, len(trained)):
        pairs = {kind: stability(saes[0], saes[number], random(number), m) for kind, saes in both.items()}
        bound = pairs[False].features.decoder_cosine.quantile(1 - STABLE)
        for kind, found in pairs.items():
            table = found.features.assign(other=number)
            table["stable"] = (table.q < STABLE) & (table.decoder_cosine > bound)
            share = table.stable[table.q.notna()].mean()
            rows.append({"trained": kind, "seed": 0, "other": number, **found.summary, "stable": share})
            features += [table] if kind else []
    return pd.DataFrame(rows), pd.concat(features, ignore_index=True)


def _side(dictionary: Dictionary, rows: pd.MultiIndex) -> Side:
    """Keep the features that vary; constant ones do so to float32 rounding."""
    profiles = dictionary.profiles.loc[rows].astype(np.float64)
    values = (profiles - profiles.groupby(level="model").transform("mean")).to_numpy()
    lengths = np.linalg.norm(values, axis=0)
    kept = lengths > 1e-6 * np.sqrt(len(rows)) * profiles.abs().max(axis=0).to_numpy()
    directions = dictionary.directions[kept]
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return Side(
        profiles.columns.to_numpy()[kept],
        values[:, kept] / lengths[kept],
        np.divide(directions, norms, out=np.zeros_like(directions), where=norms > 0),
    )


def _exchangeable(rows: pd.MultiIndex) -> list[Integers]:
    """Return positions of rows [perturbations, models] in blocks of perturbations that the same models have."""
    positions = pd.Series(np.arange(len(rows)), index=rows).unstack("model")
    held = positions.notna()
    return [
        positions.loc[block.index, block.columns[block.iloc[0]]].to_numpy(dtype=np.intp)
        for _, block in held.groupby(list(held.columns))
    ]


def _relabelled(blocks: list[Integers], rng: Generator) -> Integers:
    """Return the rows in which perturbations have exchanged names, within blocks and in all models alike."""
    order = np.empty(sum(block.size for block in blocks), dtype=np.intp)
    for block in blocks:
        order[block] = block[rng.permutation(len(block))]
    return order


def _reason(sides: list[Side], blocks: list[Integers]) -> str:
    """Say why two SAEs cannot be compared; empty where they can."""
    exchangeable = max(map(len, blocks))
    if exchangeable < NEEDED:
        return f"{exchangeable} perturbations can be exchanged, {NEEDED} needed"
    return "" if all(len(side.names) for side in sides) else "no feature varies over perturbations"


def _match(subject: Side, partner: Side, order: Integers) -> Matching:
    """Pair the features so that the sum of their correlations is largest, the rows of the second taken in an order."""
    correlation = subject.values.T @ partner.values[order]
    i, j = linear_sum_assignment(correlation, maximize=True)
    cosine = (subject.directions[i] * partner.directions[j]).sum(axis=1)
    return Matching(i, j, correlation[i, j].clip(-1, 1), cosine)


def _draws(m: int, sides: list[Side]) -> int:
    """Return how many matchings of this size are affordable."""
    return min(m, max(FEWEST_DRAWS, int(WORK / max(len(side.names) for side in sides) ** 3)))


def _measured(found: Matching, null: list[Matching], blocks: list[Integers]) -> dict[str, float]:
    """Return the columns MEASURED."""
    means = np.array([each.correlation.mean() for each in null])
    test = summary(float(found.correlation.mean()), means, inf, len(null))
    arrangements = sum(lgamma(len(block) + 1) for block in blocks)
    values = (
        test.estimate, test.null_mean, test.null_sd, test.p, max(test.p_min, exp(-arrangements)), len(null),
        _share_alike(found), np.mean([_share_alike(each) for each in null]),
        np.quantile([each.correlation.max() for each in null], 0.95),
        found.cosine.mean(), np.mean([each.cosine.mean() for each in null]),
    )  # fmt: skip
    return dict(zip(MEASURED, map(float, values), strict=True))


def _share_alike(matching: Matching) -> float:
    return float((matching.correlation > ALIKE).mean())


def _pairs(sides: list[Side], found: Matching, null: list[Matching]) -> pd.DataFrame:
    """Return the matched features of the first SAE, each beside its own correlations under the null."""
    own = np.full((len(null), len(sides[0].names)), np.nan)
    for row, each in zip(own, null, strict=True):
        row[each.subject] = each.correlation
    own = own[:, found.subject]
    p = ((own >= found.correlation - 1e-10).sum(axis=0) + 1) / (len(null) + 1)
    columns = {
        "matched": sides[1].names[found.partner],
        "correlation": found.correlation,
        "null_mean": pd.DataFrame(own).mean().to_numpy(),
        "p": p,
        "q": benjamini_hochberg(p),
        "decoder_cosine": found.cosine,
    }
    return pd.DataFrame(columns, index=sides[0].names[found.subject])


def _table(subject: Dictionary, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return a row for every feature of the subject; one without a partner is matched with nothing."""
    unmatched = {"matched": "", **dict.fromkeys(("correlation", "null_mean", "p", "q", "decoder_cosine"), np.nan)}
    table = pd.DataFrame(unmatched, index=pd.Index(subject.profiles.columns, name="feature"))
    if pairs is not None:
        table.loc[pairs.index, list(pairs.columns)] = pairs
    return table.reset_index()
