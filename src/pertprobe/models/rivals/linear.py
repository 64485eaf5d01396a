"""Linear rivals: how far each gene moves the others, by co-variation alone, for each unit of it that is removed."""

import numpy as np

from pertprobe.shapes import Array, Float, Integer, Num
from pertprobe.statistics.arrays import Floats

COMPONENTS = (5, 10, 20)
"""Numbers of principal components that always make a rival, beside the one that predicts best."""
TRIED = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
"""Numbers among which that one is sought."""
LARGEST = (0.05, 0.15)
"""Shares of the genes, those that correlate most with one, that it moves in rivals made of few strong relations."""
SHRINKAGE = (0.01, 0.1, 1.0)
"""Ridge penalties, in units of the mean variance of a gene."""
HELD_BACK = 5
"""One cell in so many judges numbers of components."""


def spread(cells: Num[Array, "cell gene"]) -> tuple[Float[Array, "gene gene"], Float[Array, "gene gene"]]:
    """Return covariances over cells, and over every fifth, left out of the first, around the mean of the others."""
    judging = np.arange(len(cells)) % HELD_BACK == 0
    fitted, judged = (np.asarray(cells[each], dtype=np.float64) for each in (~judging, judging))
    mean = fitted.mean(axis=0)
    covariance, held_back = ((each - mean).T @ (each - mean) / max(len(each), 1) for each in (fitted, judged))
    return covariance, held_back


def linear_rivals(cells: Num[Array, "cell gene"], genes: Integer[Array, " unit"]) -> dict[str, Floats]:
    """Return name -> change of every gene [unit, gene] for one unit more of each of `genes`.

    slope: of every gene on one, alone; slope_of_x: of the share x of genes that correlate most with it. ridge_x: of
    every gene on all others together, the weight of one. pca_n: what a reconstruction from n principal components
    returns; pca_best: from the number that predicts cells held back best.
    """
    covariance, held_back = spread(cells)
    variance = np.maximum(np.diag(covariance), 1e-12)
    slope = covariance[genes] / variance[genes, None]
    near = np.abs(covariance[genes]) / np.sqrt(variance)
    near[np.arange(len(genes)), genes] = 0.0
    rivals = {"slope": slope}
    rivals |= {f"slope_of_{share:g}": np.where(_largest(near, share), slope, 0.0) for share in LARGEST}
    rivals |= {f"ridge_{each:g}": _regressions(covariance, each)[:, genes].T for each in SHRINKAGE}
    vectors = np.linalg.eigh(covariance)[1][:, ::-1]  # largest variance first
    numbers = {"pca_best": _best_number(held_back, vectors)} | {f"pca_{n}": n for n in COMPONENTS}
    return rivals | {name: vectors[genes, :n] @ vectors[:, :n].T for name, n in numbers.items()}


def _largest(values: Floats, share: float) -> np.ndarray:
    """Return which entries are among the largest of their row, so many of them."""
    number = max(1, round(share * values.shape[1]))
    return values >= np.partition(values, -number, axis=1)[:, -number, None]


def _regressions(covariance: Floats, shrinkage: float) -> Floats:
    """Return the weights of ridge regressions of every gene on all others [gene that is predicted, gene].

    All at once from the precision P = (C + penalty)^-1: the weight of i in that of j is -P_ij / P_jj.
    """
    penalty = shrinkage * np.trace(covariance) / len(covariance)
    precision = np.linalg.inv(covariance + max(penalty, 1e-12) * np.eye(len(covariance)))
    weights = -precision / np.diag(precision)[:, None]
    np.fill_diagonal(weights, 0.0)
    return weights


def _loss(weights: Floats, held_back: Floats) -> float:
    """Return the squared error summed over genes, of predicting each from the others."""
    left = np.eye(len(weights)) - weights
    return float((left @ held_back * left).sum())


def _best_number(held_back: Floats, vectors: Floats) -> int:
    """Return the number of components that predicts each gene of cells held back best, without its own value.

    A reconstruction R = W W' errs less the more components there are; predicted is x_j from (R x)_j without R_jj x_j,
    so that a gene cannot foretell itself.
    """
    losses = []
    for n in TRIED:
        weights = vectors[:, :n] @ vectors[:, :n].T
        np.fill_diagonal(weights, 0.0)
        losses.append(_loss(weights, held_back))
    return TRIED[int(np.argmin(losses))]
