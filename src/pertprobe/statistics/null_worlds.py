"""Worlds without pathway signal, and programs drawn from them (methods.md, Calibration): no test may find anything."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from pertprobe.statistics.arrays import Floats, Integers, Members
from pertprobe.statistics.nuisances import Beside
from pertprobe.statistics.similarity import centred, cosine_similarity

UNITS = 200
"""Perturbations of a drawn representation."""
NOISE = 16
"""Effective dimensions of a representation: those of trained codes."""
WIDTH = 64
"""Dimensions of a dense code."""
FEATURES = 128
"""Features of a sparse, non-negative representation."""
SPREAD = 0.6
"""Standard deviation of log effect strength."""
SHARED = 4.0
"""Size of what all perturbations share; the noise of one dimension is 1."""
OFFSET = 0.2
"""Size of what every code holds, a perturbation's strength apart."""
BIAS = 2.0
"""Programs by strength hold a perturbation with probability in proportion to its strength to this power."""
PAIRS = 12
"""Pairs of regulator and target of a panel."""
TOGETHER = 0.8
"""Correlation, over perturbations, of the derivatives of co-expressed pairs."""
KNOCKED, OUTPUTS = 200, 64
"""Genes knocked out, and outputs of their profiles."""


class Profiles(NamedTuple):
    """A representation in which no program is coherent."""

    values: Floats
    """[units, features]."""
    strength: Floats
    """Norm of each unit's response [units], which is read from its code."""


def dense(rng: Generator, units: int = UNITS) -> Profiles:
    """Draw codes like those of a pert_encoder: an offset, a shared direction times strength, noise of 16 dimensions.

    The response is a linear map of the code without its offset; its norm is the strength that tests hold. It rises
    with the unit's latent strength, so that strong perturbations resemble each other.
    """
    codes = _along_one(rng, rng.lognormal(0, SPREAD, units))
    response = codes @ (rng.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH))
    return Profiles(codes + OFFSET * rng.normal(size=WIDTH), np.linalg.norm(response, axis=1))


def _along_one(rng: Generator, size: Floats, width: int = WIDTH, own: float | Floats = 1.0) -> Floats:
    """Draw vectors [units, width] that share a direction in proportion to size [units], with noise of `own` size."""
    basis = rng.normal(size=(NOISE + 1, width)) / np.sqrt(width)
    return np.column_stack([own * rng.normal(size=(size.size, NOISE)), SHARED * size]) @ basis


ALONG = 0.3
"""Size of an axis of which a unit has 1, where the unit's own effect has size 1."""
IN_ONE = 0.6
"""Share of a program's units in one of `BATCHES` batches."""
BATCHES = 10
CELLS = 30
"""Median number of cells of a unit, whose own effect is as large as the noise of one cell."""
CONFOUNDED = (
    "signed axis", "two axes", "noisy strength", "stress axis", "batches", "trained elsewhere", "cells",
)  # fmt: skip
"""Kinds of worlds in which units are alike by what no program has to do with."""


class Confounded(NamedTuple):
    """Profiles of unrelated units that are alike by a nuisance, and programs of the units that have much of it."""

    values: Floats
    """[units, WIDTH]."""
    strength: Floats
    """[units]: what tests are given to hold."""
    weight: Floats
    """[units]: a unit is drawn in proportion to it."""
    there: np.ndarray
    """Whether the model was trained with the unit in another context [units]."""
    batches: Floats | None = None
    """Share of each batch in a unit's cells [units, batch]; None: there are none."""
    cells: Floats | None = None
    """Number of cells of each unit [units]; None: it is not known."""

    def program(self, rng: Generator, n: int) -> Integers:
        """Draw the units of a program."""
        return rng.choice(len(self.weight), n, replace=False, p=self.weight / self.weight.sum())

    def beside(self, axes: int) -> Beside:
        """Return all that is known of nuisances, and how many axes are held."""
        trained = np.column_stack([self.there, ~self.there]).astype(float)
        groups = trained if self.batches is None else np.column_stack([trained, self.batches])
        return Beside(groups, self.cells, axes)


def confounded(rng: Generator, kind: str, units: int = UNITS) -> Confounded:
    """Draw profiles of unrelated units that share what a nuisance makes of them.

    Args:
        rng: numpy's generator.
        kind: "signed axis" and "two axes": shared with loadings of either sign; "noisy strength": by strength, which is
            seen with noise; "stress axis": one of the strongest tenth alone; "batches": each of ten has an axis;
            "trained elsewhere": the three in ten that were; "cells": all share an axis, the less blurred the more
            cells.
        units: number of units.
    """
    strength = rng.lognormal(0, SPREAD, units)
    own, weight, seen, known = rng.normal(size=(units, WIDTH)), strength**BIAS, strength, {}
    loadings, there = np.zeros((units, BATCHES)), np.zeros(units, dtype=bool)
    if kind in ("signed axis", "two axes"):
        n_axes = 1 + (kind == "two axes")
        loadings[:, :n_axes] = rng.normal(size=(units, n_axes))
        weight = np.exp(loadings.sum(axis=1))
    elif kind == "noisy strength":
        loadings[:, 0], seen = 2, strength * rng.lognormal(0, SPREAD, units)
    elif kind == "stress axis":
        loadings[:, 0] = 3 * (strength > np.quantile(strength, 0.9))
    elif kind == "batches":
        known["batches"] = np.eye(BATCHES)[rng.permutation(units) % BATCHES]
        loadings = 2 * known["batches"]
        weight = 1 + known["batches"][:, 0] * (IN_ONE / (1 - IN_ONE) * (BATCHES - 1) - 1)
    elif kind == "trained elsewhere":
        there = rng.random(units) < 0.3
        loadings[:, 0], weight = 2 * there, 1 + 4 * there
    elif kind == "cells":
        known["cells"] = weight = np.ceil(rng.lognormal(np.log(CELLS), 1, units))
        loadings[:, 0], strength = 2, np.ones(units)
        own, seen = own + rng.normal(size=own.shape) * np.sqrt(CELLS / weight)[:, None], strength
    else:
        raise ValueError(f"no world of the kind {kind!r}")
    values = strength[:, None] * (own + loadings @ (ALONG * rng.normal(size=(BATCHES, WIDTH))))
    return Confounded(values, seen, weight, there, **known)


def activations(codes: Floats, read: Floats) -> Floats:
    """Return what features [units, FEATURES] read of codes [units, WIDTH]: what lies above a threshold.

    They are like mean activations of a sparse autoencoder.
    """
    seen = codes @ (read / np.sqrt(WIDTH)) / codes.std()
    return np.logaddexp(0, 4 * (seen - 0.5)) / 4  # a mean over cells is never quite 0


def responses(rng: Generator, units: int = UNITS) -> Profiles:
    """Draw responses that share one direction, the more the stronger, and are otherwise unrelated."""
    values = _along_one(rng, rng.lognormal(0, SPREAD, units))
    return Profiles(values, np.linalg.norm(values, axis=1))


def routes(rng: Generator, units: int = UNITS) -> tuple[Floats, Floats, Floats]:
    """Draw routes and answers that both hold a shared direction in proportion to strength, and both vary with it.

    Returns routes [units, OUTPUTS], answers [units, WIDTH], and the norm of each answer [units].
    """
    latent = rng.lognormal(0, SPREAD, units)
    ways, answers = (_along_one(rng, latent, width, np.sqrt(latent)[:, None]) for width in (OUTPUTS, WIDTH))
    return ways, answers, np.linalg.norm(answers, axis=1)


def pushed(
    codes: Floats,
    members: Members,
    d: float,
    rng: Generator,
    read: Callable[[Floats], Floats] = lambda codes: codes,
) -> Floats:
    """Return what is read of codes [units, width] whose members lean on a direction of their own.

    Their mean centred cosine with each other lies d sd of all others' with them above that of these. Nothing is moved
    where there are no members.
    """
    members = np.asarray(members, dtype=np.intp)
    if not members.size:
        return read(codes)
    inside = np.isin(np.arange(len(codes)), members)
    direction = rng.normal(size=codes.shape[1])
    direction *= np.median(np.linalg.norm(centred(codes), axis=1)) / np.linalg.norm(direction)
    low, high = 0.0, 8.0
    for _ in range(20):  # the score rises with the push: halve the interval that holds the one wanted
        push = (low + high) / 2
        values = read(codes + push * np.outer(inside, direction))
        low, high = (low, push) if _shift(cosine_similarity(centred(values)), inside) > d else (push, high)
    return values


def _shift(similarity: Floats, inside: np.ndarray) -> float:
    """Return how far members' mean cosine with each other lies above all others' with them, in their sd."""
    n = inside.sum()
    own = (similarity[np.ix_(inside, inside)].sum() - n) / (n * (n - 1))
    others = similarity[np.ix_(~inside, inside)].mean(axis=1)
    return float((own - others.mean()) / others.std(ddof=1))


def derivatives(rng: Generator, *, by_strength: bool, together: float, units: int = UNITS) -> Profiles:
    """Draw |J| [units, pairs] of a panel; pairs vary `together` over perturbations, and with strength where asked."""
    strength = rng.lognormal(0, SPREAD, units)
    common = np.log(strength) / SPREAD if by_strength else rng.normal(size=units)
    own = rng.normal(size=(units, PAIRS))
    size = np.sqrt(together) * (common + rng.normal(size=units))[:, None] / np.sqrt(2) + np.sqrt(1 - together) * own
    return Profiles(np.exp(size * rng.uniform(0.3, 0.8, PAIRS)), strength)


def knockouts(
    rng: Generator, genes: int = KNOCKED, members: Members = (), d: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Draw profiles that are one shared profile in proportion to a gene's lognormal expression, and noise of their own.

    Returns those of two contexts [genes, OUTPUTS], and the expression of each gene, rising [genes].

    Members, positions of genes, have part of their noise in both contexts, which makes them agree with themselves by d
    sd more than genes that are expressed alike. Of a gene that holds the shared profile w times, the correlation with
    itself less that with others has sd 1 / sqrt(OUTPUTS (1 + w^2)); a share of common noise adds share / (1 + w^2).
    """
    expression = np.sort(rng.lognormal(0, SPREAD, genes))
    weight = expression[:, None]
    shared = rng.normal(size=OUTPUTS)
    noise, other = (rng.normal(size=(genes, OUTPUTS)) for _ in range(2))
    common = np.zeros((genes, 1))
    common[list(members)] = np.minimum(d * np.sqrt((1 + weight[list(members)] ** 2) / OUTPUTS), 1)
    ours, theirs = (weight * shared + each for each in (noise, common * noise + np.sqrt(1 - common**2) * other))
    return ours, theirs, expression


def uniform(rng: Generator, n: int, units: int) -> Integers:
    """Draw a program from all units alike."""
    return rng.choice(units, n, replace=False)


def by_strength(rng: Generator, n: int, strength: Floats) -> Integers:
    """Draw a program of strong perturbations."""
    weights = strength**BIAS
    return rng.choice(strength.size, n, replace=False, p=weights / weights.sum())
