"""What is left of one set of units beyond axes of all others, the obvious way."""

import numpy as np


def slow_pairs(found, members):
    """Return what is left of the members' pairs, what they have of the axes, and the sizes of these."""
    similarity, members = found.similarity, np.asarray(members)
    outside = np.setdiff1d(np.arange(len(similarity)), members)
    centre = np.eye(len(outside)) - 1 / len(outside)
    spanned = centre @ found.directions[outside]
    lengths, turned = np.linalg.eigh(spanned.T @ spanned)
    orthonormal = spanned @ turned[:, lengths > 0.1] / np.sqrt(lengths[lengths > 0.1])
    among = centre @ similarity[np.ix_(outside, outside)] @ centre
    sizes, turn = np.linalg.eigh(orthonormal.T @ among @ orthonormal)
    sizes, axes = sizes[::-1][: found.number], (orthonormal @ turn)[:, ::-1][:, : found.number]
    others, level = similarity[np.ix_(outside, outside)].mean(axis=0), similarity[np.ix_(outside, outside)].mean()
    own = similarity[np.ix_(members, outside)].mean(axis=1)
    shares = (similarity[np.ix_(members, outside)] - own[:, None] - others + level) @ axes / sizes
    left = similarity[np.ix_(members, members)] - own[:, None] - own + level - (shares * sizes) @ shares.T
    np.fill_diagonal(left, 0.0)
    return left, shares, sizes, axes


def slow_weighted(found, members):
    """Return the same pairs brought to one variance by the inverse root of I + X X' from both sides."""
    left, shares, *_ = slow_pairs(found, members)
    lengths, turned = np.linalg.eigh(np.eye(len(members)) + shares @ shares.T)
    weights = turned @ np.diag(lengths**-0.5) @ turned.T @ np.ones(len(members))
    return left * np.outer(weights, weights)
