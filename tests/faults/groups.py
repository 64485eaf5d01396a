"""The groups of faults that are met in children, and how many of each the short form draws."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import damage
import healthy_controls
import hostile_files
import hostile_hdf5
import hostile_pickles
import numpy as np
import wrong_cells
import wrong_config
import wrong_files
from fault import Fault, unique


class Group(NamedTuple):
    """Faults that are reported together."""

    title: str
    faults: Callable[[], Iterator[Fault]]
    in_short: int
    """How many the short form takes, drawn evenly of every kind."""


def _several(*modules: object) -> Callable[[], Iterator[Fault]]:
    def faults() -> Iterator[Fault]:
        for module in modules:
            yield from module.faults()

    return faults


GROUPS = {
    "valid": Group("harmless changes, which must be read", healthy_controls.faults, 8),
    "wrong": Group("wrong inputs", _several(wrong_config, wrong_cells, wrong_files), 56),
    "hostile": Group("hostile and malformed files", _several(hostile_pickles, hostile_files, hostile_hdf5), 48),
    "damage": Group("random damage", damage.faults, 36),
}


def faults_of(group: str) -> list[Fault]:
    """Return every fault of a group."""
    return unique(GROUPS[group].faults())


def sample(group: str) -> list[Fault]:
    """Return the fixed draw of the short form: of every kind the same number, as far as it has them."""
    rng, kinds = np.random.default_rng(0), {}
    for fault in faults_of(group):
        kinds.setdefault(fault.kind, []).append(fault)
    piles = [[pile[i] for i in rng.permutation(len(pile))] for pile in kinds.values()]
    deal = [pile[i] for i in range(max(map(len, piles))) for pile in piles if i < len(pile)]
    return deal[: GROUPS[group].in_short]
