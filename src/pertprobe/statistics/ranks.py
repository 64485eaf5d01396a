"""Rank scores of perturbations on (regulator, target) pairs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pertprobe.shapes import Array, Float, Like, Num, Shaped


def average_ranks(values: Num[Like, "*shape"], axis: int = 0) -> Float[Array, "*shape"]:
    """Rank a vector, or a matrix along `axis`, from 1; ties share their mean rank, nan takes no part and stays nan.

    By pandas: scipy's `rankdata` has to load all of `scipy.stats`, which takes longer than most jobs rank.
    """
    values = np.asarray(values, dtype=np.float64)
    return (pd.Series(values) if values.ndim == 1 else pd.DataFrame(values)).rank(axis=axis).to_numpy()


def mid_ranks(values: Num[Like, "unit pair"], left_out: Shaped[Like, "unit pair"]) -> Float[Array, "unit pair"]:
    """Rank each column of `values` [P, K]: (mid-rank - 1/2) / number ranked, in (0, 1) with mean 1/2, ties shared.

    Entries marked in `left_out` [P, K] or nan take no part and are nan in the result.
    """
    values = np.where(np.asarray(left_out, dtype=bool), np.nan, np.asarray(values, dtype=np.float64))
    ranked = (~np.isnan(values)).sum(axis=0)
    return (average_ranks(values) - 0.5) / np.maximum(ranked, 1)


def rank_scores(
    values: Num[Like, "unit pair"], perturbations: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> Float[Array, " unit"]:
    """Return each perturbation's mean normalised mid-rank on pairs [P], leaving out pairs that hold the knocked gene.

    nan for a perturbation that is ranked in fewer than half of the pairs.

    Args:
        values: the Jacobian's entry (its magnitude, or with a sign) [P, K] under each perturbation; nan = not measured.
        perturbations: names [P], each that of its knocked gene.
        pairs: (regulator, target) [K].
    """
    left_out = np.array([[name in pair for pair in pairs] for name in perturbations]).reshape(len(perturbations), -1)
    ranks = mid_ranks(values, left_out)
    n_pairs = (~np.isnan(ranks)).sum(axis=1)
    kept = (2 * n_pairs >= len(pairs)) & (n_pairs > 0)
    return np.where(kept, np.nansum(ranks, axis=1) / np.maximum(n_pairs, 1), np.nan)
