"""What is left of a set of units beside common axes, by whole matrices."""

import numpy as np


def inverse_root(matrix):
    """Return matrix^(-1/2)."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def slow_mean(found, units):
    """Return the mean over pairs of one set whose pairs have no say, brought to one variance, by whole matrices."""
    inside = found.members[units]
    known, outside = units[~inside], np.setdiff1d(np.flatnonzero(~found.members), units)
    fit = np.zeros((len(units), len(outside)))  # how each unit of the set is foretold from those that are outside
    fit[~inside] = found.directions[known] @ np.linalg.pinv(found.directions[outside])
    rows = found.left[np.ix_(units, outside)]
    left = found.left[np.ix_(units, units)] - fit @ rows.T - rows @ fit.T
    left += fit @ found.left[np.ix_(outside, outside)] @ fit.T
    uncertain = np.eye(len(units)) + fit @ fit.T
    uncertain[np.ix_(inside, inside)] += found.directions[units[inside]] @ found.directions[units[inside]].T
    root = inverse_root(uncertain)
    return (root @ left @ root).sum() / (len(units) * (len(units) - 1))
