"""The statistics of the published analysis, as they were computed: reported next to the valid ones, never instead.

Pairs and triples are not independent; these p-values are too small (9-37 % of random sets below 0.05).
"""

from typing import NamedTuple

import numpy as np
import scipy
from numpy.random import Generator
from numpy.typing import ArrayLike

from pertprobe.statistics.arrays import Members, Pairwise
from pertprobe.statistics.moments import pair_means
from pertprobe.statistics.permutation import summary
from pertprobe.statistics.sets import uniform_sets


class Published(NamedTuple):
    """A published statistic."""

    estimate: float
    """Mean within the program (rank sums) or effect over random sets."""
    p: float
    """One-sided greater, as published."""


def rank_sum_pairs(similarity: Pairwise, members: Members) -> Published:
    """Wilcoxon rank-sum of pairs within the program against all other pairs of `similarity` [P, P]."""
    similarity = np.asarray(similarity, dtype=np.float64)
    first, second = np.triu_indices(len(similarity), 1)
    within = np.isin(first, members) & np.isin(second, members)
    values = similarity[first, second]
    return rank_sum_triples(values[within], values[~within])


def rank_sum_triples(pathway_values: ArrayLike, control_values: ArrayLike) -> Published:
    """Wilcoxon rank-sum of pooled (regulator, target, perturbation) triples, pathway greater than control, signed."""
    pathway, control = np.ravel(pathway_values), np.ravel(control_values)
    if not (pathway.size and control.size):
        return Published(np.nan, np.nan)
    p = scipy.stats.mannwhitneyu(pathway, control, alternative="greater", method="asymptotic").pvalue
    return Published(float(pathway.mean()), float(p))


def random_sets_p(similarity_raw: Pairwise, members: Members, rng: Generator, m: int = 5000) -> Published:
    """Compare the mean similarity within the program with `m` random sets of its size: effect and p.

    The published share of sets at least as large could be 0; here it is (b + 1) / (m + 1).
    """
    similarity, members = np.asarray(similarity_raw, dtype=np.float64), np.unique(np.asarray(members))
    null = pair_means(similarity, uniform_sets(members.size, len(similarity), m, rng))
    test = summary(float(pair_means(similarity, members[None])[0]), null, np.inf, m)
    return Published(test.estimate - test.null_mean, test.p)
