"""Directions that tell a program's perturbations from others, and how they lie to a subspace.

Source: methods.md, Concept alignment.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from pertprobe.statistics.arrays import Floats

STEPS = 30
"""Newton steps of a logistic regression, most; it has settled long before."""
SETTLED = 1e-8
"""Largest change of a coefficient at which it has."""
FOLDS = 5
MLP = (128, 64)
"""Hidden layers of the published classifier."""
MLP_STEPS = 60
"""Steps of its optimiser (L-BFGS), most."""


def hard_negatives(distance: ArrayLike, members: ArrayLike, each: int) -> NDArray[np.intp]:
    """Return the units [n] outside a program that are hardest to tell from it: `each` nearest to every member, once.

    Members choose in turn, the nearest of those that are left; `distance` is [P, P].
    """
    distance, members = np.asarray(distance, dtype=np.float64), np.asarray(members)
    left = np.setdiff1d(np.arange(len(distance)), members)
    chosen: list[int] = []
    for _ in range(each):
        for member in members[: left.size]:
            nearest = int(left[np.argmin(distance[member, left])])
            chosen.append(nearest)
            left = left[left != nearest]
    return np.array(sorted(chosen), dtype=np.intp)


def permuted_labels(labels: ArrayLike, n: int, rng: Generator) -> NDArray[np.bool_]:
    """Return the labels [units] and, below them, n random orders of them [n + 1, units]."""
    labels = np.asarray(labels, dtype=bool)
    return np.concatenate([labels[None], rng.permuted(np.tile(labels, (n, 1)), axis=1)])


def principal_scores(states: ArrayLike) -> tuple[Floats, Floats]:
    """Return scores [n, r] and axes [r, H] of centred states [n, H]; r is at most n - 1.

    Scores have mean square 1 over all of them.

    What lies outside their span tells no two of them apart.
    """
    centred = np.asarray(states, dtype=np.float64) - np.mean(states, axis=0)
    left, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    kept = sizes > 1e-10 * max(sizes.max(initial=0.0), 1e-300)
    scores = (left * sizes)[:, kept]
    return scores / max(np.sqrt((scores**2).sum(axis=1).mean()), 1e-300) * np.sqrt(max(kept.sum(), 1)), axes[kept]


def logistic(scores: Floats, labels: NDArray[np.bool_], weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Fit many logistic regressions on the same points at once: coefficients [k, r] and intercepts [k].

    The estimator is sklearn's LogisticRegression(C=1, class_weight="balanced"), by Newton's method: half the squared
    coefficients plus the weighted log loss, the intercept free. One solver serves the labels and their permutations.

    Args:
        scores: points [n, r].
        labels: of each fit [k, n].
        weights: of each point in each fit [k, n], 0 = left out; None = all alike.
    """
    X = np.column_stack([scores, np.ones(len(scores))])
    weights = _balanced(labels, np.ones(labels.shape) if weights is None else weights)
    penalty = np.diag([1.0] * scores.shape[1] + [0.0])
    found = np.zeros((len(labels), X.shape[1]))
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(found @ X.T, -30, 30)))
        slope = (weights * (p - labels)) @ X + found @ penalty
        curvature = np.einsum("kn,ni,nj->kij", weights * p * (1 - p), X, X, optimize=True) + penalty
        step = np.linalg.solve(curvature + 1e-10 * np.eye(X.shape[1]), slope[..., None])[..., 0]
        found -= step
        if np.abs(step).max() < SETTLED:
            break
    return found[:, :-1], found[:, -1]


def _balanced(labels: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return weights [k, n] with which both classes weigh alike, their sum as it was."""
    total, positive = weights.sum(axis=1, keepdims=True), (weights * labels).sum(axis=1, keepdims=True)
    shares = np.where(labels, total / (2 * np.maximum(positive, 1)), total / (2 * np.maximum(total - positive, 1)))
    return weights * shares


def directions(states: ArrayLike, labels: NDArray[np.bool_]) -> Floats:
    """Return the direction of length 1 that tells labelled states from the others, for each row of labels [k, H]."""
    scores, axes = principal_scores(states)
    found = logistic(scores, labels)[0] @ axes
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-300)


def accuracy(states: ArrayLike, labels: NDArray[np.bool_], rng: Generator) -> Floats:
    """Return the cross-validated balanced accuracy of each row of labels [k], by stratified folds of its own."""
    scores, _ = principal_scores(states)
    folds = _stratified(labels, min(FOLDS, int(labels[0].sum()), int((~labels[0]).sum())), rng)
    right = np.zeros(labels.shape, dtype=bool)
    for fold in range(folds.max() + 1):
        held = folds == fold
        coefficients, intercepts = logistic(scores, labels, (~held).astype(float))
        said = coefficients @ scores.T + intercepts[:, None] > 0
        right |= held & (said == labels)
    members, others = ((right & side).sum(axis=1) / side.sum(axis=1) for side in (labels, ~labels))
    return (members + others) / 2


def _stratified(labels: NDArray[np.bool_], folds: int, rng: Generator) -> NDArray[np.intp]:
    """Return a fold for each unit in each row [k, n]: the units of either class are dealt out in a random order."""
    found = np.empty(labels.shape, dtype=np.intp)
    keys = rng.random(labels.shape)
    for is_member in (True, False):
        order = np.argsort(np.where(labels == is_member, keys, np.inf), axis=1)
        size = int((labels[0] == is_member).sum())
        np.put_along_axis(found, order[:, :size], np.arange(size)[None] % folds, axis=1)
    return found


def mlp_axes(states: ArrayLike, labels: NDArray[np.bool_], k: int, seed: int) -> Floats:
    """Return the first k principal directions [k, H] of the first layer of the published classifier (H-128-64-1)."""
    from sklearn.neural_network import MLPClassifier

    scores, axes = principal_scores(states)
    model = MLPClassifier(MLP, solver="lbfgs", max_iter=MLP_STEPS, random_state=seed)
    model.fit(scores, labels)
    left, _, _ = np.linalg.svd(model.coefs_[0], full_matrices=False)
    return left.T[:k] @ axes


def span_cosine(found: Floats, span: Floats) -> Floats:
    """Return the cosine of the angle between each direction [k, H] of length 1 and a subspace with orthonormal rows."""
    return np.linalg.norm(found @ span.T, axis=1)


def principal_cosine(one: Floats, other: Floats) -> float:
    """Return the cosine of the smallest principal angle of two subspaces with orthonormal rows [k, H]."""
    return float(min(np.linalg.norm(one @ other.T, 2), 1.0))


def top_directions(jacobian: ArrayLike, k: int) -> Floats:
    """Return the first right singular vectors [k, H] of a Jacobian [targets, H]; fewer where it has no more."""
    _, sizes, right = np.linalg.svd(np.asarray(jacobian, dtype=np.float64), full_matrices=False)
    return right[: min(k, int((sizes > 1e-10 * max(sizes.max(initial=0.0), 1e-300)).sum()))]


def correlations(moved: Floats, reference: Floats) -> Floats:
    """Return |Pearson r| of each change of the output [k, G] with one of them [G]; 0 where either is constant."""
    centred, other = moved - moved.mean(axis=1, keepdims=True), reference - reference.mean()
    sizes = np.linalg.norm(centred, axis=1) * np.linalg.norm(other)
    return np.abs(np.divide(centred @ other, sizes, out=np.zeros(len(moved)), where=sizes > 0))


def chance(k: int, width: int) -> float:
    """Return about how large the cosine of a random direction with a subspace of k of `width` dimensions is.

    A reference only: directions refitted on permuted labels lie where states vary, and are more alike than that.
    """
    return float(np.sqrt(k / width))


def padded(values: Sequence[ArrayLike], n: int) -> Floats:
    """Return rows of different length as one table [rows, n], nan behind them."""
    return pd.DataFrame([np.atleast_1d(each) for each in values]).reindex(columns=range(n)).to_numpy(np.float64)
