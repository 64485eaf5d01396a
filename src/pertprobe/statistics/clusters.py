"""Clusters of perturbations: cut from a tree, compared with programs and with the clusters of another model."""

from math import inf
from typing import Literal

import numpy as np
import scipy
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from pertprobe.shapes import Array, Float, Integer
from pertprobe.statistics.arrays import Floats, Integers, Labels, Members, Pairwise, PerUnit
from pertprobe.statistics.permutation import Test, summary, with_stratified
from pertprobe.statistics.sets import orders_within, strength_blocks

Distance = Literal["chord", "cosine"]
MOST = 30
"""Clusters that are tried at most where the silhouette chooses."""


def ward_clusters(
    similarity: Pairwise, number: int | Literal["silhouette"], distance: Distance = "chord"
) -> Integer[Array, " unit"]:
    """Return the cluster [P] of each perturbation, numbered from 0 in order of size, cut from a tree by Ward.

    Perturbations that do nothing, whose cosines are all 0, are alike.

    Args:
        similarity: cosines [P, P], P at least 3.
        number: of clusters; "silhouette": 2 to MOST, that of the largest mean silhouette, the fewest among equals.
        distance: "chord" is the Euclidean distance sqrt(2 - 2 cos) of profiles of length 1, for which Ward's criterion
            is defined (Ward 1963); "cosine" is 1 - cos put in its place, as published.
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    apart = np.clip(1.0 - similarity, 0.0, None)
    apart = np.sqrt(2.0 * apart) if distance == "chord" else apart
    np.fill_diagonal(apart, 0.0)
    still = np.flatnonzero(np.diagonal(similarity) == 0)  # or ties between them would go by their names
    apart[np.ix_(still, still)] = 0.0
    tree = linkage(squareform(apart, checks=False), "ward")
    return _by_size(_best_cut(tree, apart) if number == "silhouette" else fcluster(tree, number, "maxclust"))


def _best_cut(tree: Floats, apart: Floats) -> Integer[Array, " unit"]:
    """Return the clusters of the largest mean silhouette; one cluster where all distances are alike."""
    from sklearn.metrics import silhouette_score  # here: only the tests of clusters need scikit-learn

    cuts = [fcluster(tree, k, "maxclust") for k in range(2, min(MOST, len(apart) - 1) + 1)]
    parted = [labels for labels in cuts if labels.max() > 1]
    if not parted:
        return np.ones(len(apart), dtype=np.intp)
    return max(parted, key=lambda labels: silhouette_score(apart, labels, metric="precomputed"))


def _by_size(labels: Integer[Array, " unit"]) -> Integer[Array, " unit"]:
    """Number clusters from 0, the largest first; equal ones in the order of their first member."""
    found, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    return np.argsort(order)[np.searchsorted(found, labels)]


def same_cluster(labels: Labels) -> Float[Array, "unit unit"]:
    """Return 1 where two perturbations share a cluster, 0 elsewhere [P, P]."""
    labels = np.asarray(labels)
    return (labels[:, None] == labels).astype(np.float64)


def enrichment(labels: Labels, members: Members) -> tuple[Integers, Floats]:
    """Return how many members [n] lie in each cluster [k], and the chance of so many under any n perturbations [k].

    One-sided hypergeometric test over the perturbations that were clustered. It takes every perturbation for equally
    likely to be a member, which those of programs of strong perturbations are not.
    """
    labels, members = np.asarray(labels), np.unique(np.asarray(members))
    sizes = np.bincount(labels)
    counts = np.bincount(labels[members], minlength=sizes.size)
    return counts, scipy.stats.hypergeom.sf(counts - 1, labels.size, sizes, members.size)


def adjusted_rand(first: Labels, second: Labels) -> float:
    """Return the adjusted Rand index of two clusterings [P] of the same perturbations (Hubert & Arabie 1985).

    Two clusterings without a choice (one cluster, or each perturbation its own) agree: 1.
    """
    return float(_adjusted_rand(first, second, np.arange(len(first))[None])[0])


def rand_test(
    first: Labels,
    second: Labels,
    strength: PerUnit | None,
    m: int,
    rng: Generator,
) -> Test:
    """Test whether two clusterings [P] agree more than with the labels of the second exchanged.

    p: among all perturbations. p_stratified: among perturbations of like strength, in blocks of neighbouring ranks, so
    that two models which only sort their perturbations by strength do not agree by that. Where blocks hold too few
    arrangements, or no strength is given, only p is there.
    """
    size = len(first)
    orders = np.concatenate([np.arange(size)[None], np.stack([rng.permutation(size) for _ in range(m)])])
    estimate, *null = _adjusted_rand(first, second, orders)
    test = summary(float(estimate), np.array(null), inf, m)
    blocks = [] if strength is None else strength_blocks(strength)
    if len(blocks) < 2:
        return test
    null = _adjusted_rand(first, second, orders_within(blocks, size, m, rng))
    return with_stratified(test, summary(test.estimate, null, inf, m))


def _adjusted_rand(first: Labels, second: Labels, orders: Integers) -> Floats:
    """Return the index [k] of one clustering with each order [k, P] of the other: only the table's cells change."""
    first, second = (np.unique(each, return_inverse=True)[1] for each in (first, second))
    n, width = first.size, second.max() + 1
    rows, columns = (_pairs(np.bincount(each)).sum() for each in (first, second))
    joint = np.array([_pairs(np.bincount(first * width + second[order])).sum() for order in orders])
    expected, most = rows * columns / _pairs(n), (rows + columns) / 2
    return np.ones(len(orders)) if most == expected else (joint - expected) / (most - expected)


def _pairs(counts: ArrayLike) -> Floats | np.float64:
    counts = np.asarray(counts, dtype=np.float64)
    return counts * (counts - 1) / 2
