"""What names a direction or a feature of a layer: half of a program's perturbations, which then never score it."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from pertprobe.seeding import generator
from pertprobe.statistics.ranks import average_ranks
from pertprobe.statistics.sets import Floats

NEAREST = 10
"""Perturbations nearest in size that a random namer is drawn from."""


def naming_half(members: Collection[str], program: str, seed: int) -> list[str]:
    """Return the half of a program's perturbations (rounded down) that names: drawn by the program's name, sorted."""
    ordered = sorted(members)
    return sorted(generator(seed, "naming", program).permutation(ordered)[: len(ordered) // 2].tolist())


def matched_names(
    named: Sequence[str], outside: Sequence[str], sizes: Mapping[str, float], random: Generator
) -> list[str]:
    """Return as many other perturbations, each of the size of one that is named, none twice.

    Each is drawn from the NEAREST of those `outside` in size that are left.
    """
    left, found = sorted(outside), []
    for name in named:
        order = np.argsort([abs(sizes[other] - sizes[name]) for other in left], kind="stable")[:NEAREST]
        if order.size:
            found.append(left.pop(int(random.choice(order))))
    return sorted(found)


def contrast(changes: ArrayLike, named: ArrayLike) -> Floats:
    """Return the mean change of the named perturbations less that of all others: changes [P, F], named [P] -> [F].

    All others, the program's remaining members among them: whoever did not name is treated alike. Nobody names nothing.
    """
    changes, named = np.asarray(changes, dtype=np.float64), np.asarray(named, dtype=bool)
    if not named.any():
        return np.zeros(changes.shape[1])
    others = changes[~named].mean(axis=0) if (~named).any() else 0.0
    return changes[named].mean(axis=0) - others


def matched_features(chosen: Sequence[int], frequency: Floats, size: Floats, draws: int) -> list[list[int]]:
    """Return up to `draws` other sets of features, each matched with `chosen` in activation frequency and size.

    The nearest in the ranks of both (city-block distance, ties to the lower number); features that are never active
    match nothing.

    Args:
        chosen: numbers of features.
        frequency: share of cells in which each is active [F].
        size: how far each moves the states under a perturbation [F].
        draws: sets wanted; fewer where features are few.
    """
    alive = np.flatnonzero(frequency > 0)
    left = np.setdiff1d(alive, chosen)
    ranks = np.stack([average_ranks(frequency), average_ranks(size)])
    sets: list[list[int]] = []
    while len(sets) < draws and len(left) >= len(chosen):
        one = []
        for feature in chosen:
            distance = np.abs(ranks[:, left] - ranks[:, [feature]]).sum(axis=0)
            one.append(int(left[np.argmin(distance)]))
            left = np.setdiff1d(left, one)
        sets.append(one)
    return sets
