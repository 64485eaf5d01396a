"""Models of known kind, in closed form or fitted, as far as silencing a gene in their input is concerned.

Each answers to the genes that a screen knocks down: memory of co-variation in several forms, a lookup, a mechanism.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.nn.functional import softplus

from pertprobe.data.networks.screen import CONTROL, Screen
from pertprobe.models.known.readings import as_they_are, components, equations
from pertprobe.models.rivals.autoencoder import Autoencoder, Size
from pertprobe.models.rivals.linear import linear_rivals
from pertprobe.models.rivals.silenced import silenced_shifts
from pertprobe.seeding import seed_of
from pertprobe.stages.answer import COVARIATION, LOOKUP, MECHANISM
from pertprobe.statistics.arrays import Floats, Integers


class Situation(NamedTuple):
    """A screen in one context, and the cells in which genes are silenced."""

    screen: Screen
    context: str
    cells: Floats
    """Control cells [cell, gene]."""
    seed: int

    @property
    def genes(self) -> Integers:
        """Return the positions of the genes that are silenced."""
        return np.array([self.screen.genes.index(name) for name in self.screen.knocked])

    @property
    def controls(self) -> Floats:
        """Return the control cells of the context."""
        screen = self.screen
        return screen.values[(screen.contexts == self.context) & (screen.perturbations == CONTROL)]

    @property
    def removed(self) -> Floats:
        """Return what is lost where each gene is silenced [unit]."""
        return self.cells[:, self.genes].mean(axis=0)

    def linear(self, name: str, cells: Floats) -> Floats:
        """Return the answers of one linear rival that was fitted to these cells."""
        return -self.removed[:, None] * linear_rivals(cells, self.genes)[name]


def read(asked: Situation, reading: Callable[[Tensor], Tensor]) -> Floats:
    """Answer what something that returns cells says of cells in which a gene is silenced."""
    return silenced_shifts(reading, asked.cells, asked.genes, np.zeros(len(asked.genes)))


def softened(reading: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the reading through a softplus, as that of a model whose outputs are never below zero."""
    return lambda cells: softplus(3 * reading(cells)) / 3


def autoencoded(asked: Situation, size: Size) -> Floats:
    """Answer what an autoencoder of control cells returns that was trained from another seed than any rival."""
    return read(asked, Autoencoder.fitted(asked.controls, size, seed_of(asked.seed, "family", *size)))


def slope_without_own(asked: Situation) -> Floats:
    """Answer the slope of every gene on one, over all cells but those in which that one is knocked down."""
    screen, rows = asked.screen, []
    for name, gene, removed in zip(screen.knocked, asked.genes, asked.removed, strict=True):
        cells = screen.values[(screen.contexts == asked.context) & (screen.perturbations != name)]
        centred = cells - cells.mean(axis=0)
        rows.append(-removed * (centred.T @ centred[:, gene]) / (centred[:, gene] @ centred[:, gene]))
    return np.stack(rows)


def truth(asked: Situation) -> Floats:
    """Answer what the simulator does where a gene is silenced."""
    return asked.screen.truth[asked.context]


class Family(NamedTuple):
    """A kind of model, and what must be answered of it."""

    answers: Callable[[Situation], Floats]
    right: str


FAMILIES = {
    "lookup": Family(lambda asked: read(asked, as_they_are(asked.controls)), LOOKUP),
    "slope of control cells": Family(lambda asked: asked.linear("slope", asked.controls[::2]), COVARIATION),
    "slope of all cells, own left out": Family(slope_without_own, COVARIATION),
    "ridge of control cells": Family(lambda asked: asked.linear("ridge_0.1", asked.controls[::2]), COVARIATION),
    "15 components": Family(lambda asked: read(asked, components(asked.controls, 15)), COVARIATION),
    "10 components, softplus": Family(lambda asked: read(asked, softened(components(asked.controls, 10))), COVARIATION),
    "autoencoder": Family(lambda asked: autoencoded(asked, Size(64, 12)), COVARIATION),
    "large autoencoder": Family(lambda asked: autoencoded(asked, Size(256, 32)), COVARIATION),
    "linear equations, true graph": Family(
        lambda asked: read(asked, equations(asked.controls, asked.screen.graphs[asked.context].seen_parents())),
        MECHANISM,
    ),
    "the simulator itself": Family(truth, MECHANISM),
}
