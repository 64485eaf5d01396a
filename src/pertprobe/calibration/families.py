"""Models of known kind, in closed form or fitted, as far as silencing a gene in their input is concerned.

Each answers to the genes that a screen knocks down: memory of co-variation in several forms, a lookup, a mechanism.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pertprobe.data.networks.screen import CONTROL, Screen
from pertprobe.models.rivals.autoencoder import Autoencoder, Size, autoencoder_shifts
from pertprobe.models.rivals.linear import linear_rivals
from pertprobe.seeding import seed_of
from pertprobe.stages.answer import COVARIATION, LOOKUP, MECHANISM
from pertprobe.statistics.arrays import Floats, Integers


class Asked(NamedTuple):
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


def lookup(asked: Asked) -> Floats:
    """Answer nothing but what was taken away: whatever the model knows, it knows by the names of perturbations."""
    found = np.zeros((len(asked.genes), asked.cells.shape[1]))
    found[np.arange(len(found)), asked.genes] = -asked.removed
    return found


def reconstructed(asked: Asked, components: int, softplus: bool = False) -> Floats:
    """Answer what principal components of control cells return, through a softplus or not."""
    mean = asked.controls.mean(axis=0)
    axes = np.linalg.svd(asked.controls - mean, full_matrices=False)[2][:components]

    def returned(cells: Floats) -> Floats:
        """Return the mean of cells as they are reconstructed."""
        found = (cells - mean) @ axes.T @ axes + mean
        return (np.logaddexp(0, 3 * found) / 3 if softplus else found).mean(axis=0)

    before, answers = returned(asked.cells), []
    for gene in asked.genes:
        edited = asked.cells.copy()
        edited[:, gene] = 0
        answers.append(returned(edited) - before)
    return np.stack(answers)


def autoencoded(asked: Asked, size: Size) -> Floats:
    """Answer what an autoencoder of control cells returns that was trained from another seed than any rival."""
    net = Autoencoder(asked.controls, size, seed_of(asked.seed, "family", *size))
    return autoencoder_shifts(net, asked.cells, asked.genes, np.zeros(len(asked.genes)))


def slope_without_own(asked: Asked) -> Floats:
    """Answer the slope of every gene on one, over all cells but those in which that one is knocked down."""
    screen, rows = asked.screen, []
    for name, gene, removed in zip(screen.knocked, asked.genes, asked.removed, strict=True):
        cells = screen.values[(screen.contexts == asked.context) & (screen.perturbations != name)]
        centred = cells - cells.mean(axis=0)
        rows.append(-removed * (centred.T @ centred[:, gene]) / (centred[:, gene] @ centred[:, gene]))
    return np.stack(rows)


def linear_equations(asked: Asked) -> Floats:
    """Answer what linear equations on the true graph say, fitted to control cells: each gene by its own regulators."""
    graph = asked.screen.graphs[asked.context]
    centred = asked.controls - asked.controls.mean(axis=0)
    answers = lookup(asked)
    for gene, parents in enumerate(graph.seen_parents()):
        if parents.size:
            weights = np.linalg.lstsq(centred[:, parents], centred[:, gene], rcond=None)[0]
            silenced = asked.genes == gene
            answers[~silenced, gene] = answers[~silenced][:, parents] @ weights
    return answers


def truth(asked: Asked) -> Floats:
    """Answer what the simulator does where a gene is silenced."""
    return asked.screen.truth[asked.context]


class Family(NamedTuple):
    """A kind of model, and what must be answered of it."""

    answers: Callable[[Asked], Floats]
    right: str


FAMILIES = {
    "lookup": Family(lookup, LOOKUP),
    "slope of control cells": Family(lambda asked: asked.linear("slope", asked.controls[::2]), COVARIATION),
    "slope of all cells, own left out": Family(slope_without_own, COVARIATION),
    "ridge of control cells": Family(lambda asked: asked.linear("ridge_0.1", asked.controls[::2]), COVARIATION),
    "15 components": Family(lambda asked: reconstructed(asked, 15), COVARIATION),
    "10 components, softplus": Family(lambda asked: reconstructed(asked, 10, softplus=True), COVARIATION),
    "autoencoder": Family(lambda asked: autoencoded(asked, Size(64, 12)), COVARIATION),
    "large autoencoder": Family(lambda asked: autoencoded(asked, Size(256, 32)), COVARIATION),
    "linear equations, true graph": Family(linear_equations, MECHANISM),
    "the simulator itself": Family(truth, MECHANISM),
}
