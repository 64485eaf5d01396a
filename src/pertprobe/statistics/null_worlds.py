"""Worlds without pathway signal, and programs drawn from them (methods.md, Calibration): no test may find anything."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from pertprobe.statistics.arrays import Floats, Integers, Members

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
    latent = rng.lognormal(0, SPREAD, units)
    basis = rng.normal(size=(NOISE + 1, WIDTH)) / np.sqrt(WIDTH)
    loads = np.column_stack([rng.normal(size=(units, NOISE)), SHARED * latent])
    codes = loads @ basis
    response = codes @ (rng.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH))
    return Profiles(codes + OFFSET * rng.normal(size=WIDTH), np.linalg.norm(response, axis=1))


def sparse(rng: Generator, units: int = UNITS) -> Profiles:
    """Draw mean activations like those of a sparse autoencoder: what of a dense code lies above a threshold."""
    codes, strength = dense(rng, units)
    seen = codes @ (rng.normal(size=(WIDTH, FEATURES)) / np.sqrt(WIDTH)) / codes.std()
    return Profiles(np.logaddexp(0, 4 * (seen - 0.5)) / 4, strength)  # a mean over cells is never quite 0


def derivatives(rng: Generator, *, by_strength: bool, together: float, units: int = UNITS) -> Profiles:
    """Draw |J| [units, pairs] of a panel; pairs vary `together` over perturbations, and with strength where asked."""
    strength = rng.lognormal(0, SPREAD, units)
    common = np.log(strength) / SPREAD if by_strength else rng.normal(size=units)
    own = rng.normal(size=(units, PAIRS))
    size = np.sqrt(together) * (common + rng.normal(size=units))[:, None] / np.sqrt(2) + np.sqrt(1 - together) * own
    return Profiles(np.exp(size * rng.uniform(0.3, 0.8, PAIRS)), strength)


class Knockouts(NamedTuple):
    """Profiles of knocked-out genes in two contexts that agree in nothing but what all genes share."""

    ours: Floats
    """[genes, outputs]."""
    theirs: Floats
    """[genes, outputs]."""
    deciles: Integers
    """Expression decile of each gene [genes]."""


def knockouts(rng: Generator, genes: int = KNOCKED, members: Members = (), d: float = 0.0) -> Knockouts:
    """Draw profiles that are one shared profile, the more so the higher a gene is expressed, and noise of their own.

    Members, positions of genes, have part of their noise in both contexts, which makes them agree with themselves by d
    sd more than genes that are expressed alike. Of a gene that holds the shared profile w times, the correlation with
    itself less that with others has sd 1 / sqrt(OUTPUTS (1 + w^2)); a share of common noise adds share / (1 + w^2).
    """
    deciles = np.arange(genes) * 10 // genes
    weight = (0.3 + 1.7 * deciles / 9)[:, None]
    shared = rng.normal(size=OUTPUTS)
    noise, other = (rng.normal(size=(genes, OUTPUTS)) for _ in range(2))
    common = np.zeros((genes, 1))
    common[list(members)] = np.minimum(d * np.sqrt((1 + weight[list(members)] ** 2) / OUTPUTS), 1)
    ours, theirs = (weight * shared + each for each in (noise, common * noise + np.sqrt(1 - common**2) * other))
    return Knockouts(ours, theirs, deciles)


def uniform(rng: Generator, n: int, units: int) -> Integers:
    """Draw a program from all units alike."""
    return rng.choice(units, n, replace=False)


def by_strength(rng: Generator, n: int, strength: Floats) -> Integers:
    """Draw a program of strong perturbations."""
    weights = strength**BIAS
    return rng.choice(strength.size, n, replace=False, p=weights / weights.sum())


def of_one_decile(rng: Generator, n: int, deciles: Integers) -> Integers:
    """Draw a program of highly expressed genes: of the highest decile, of more where it is over half of one."""
    size = int((deciles == deciles.max()).sum())
    wanted = -(-2 * n // size)
    pool = np.flatnonzero(deciles > deciles.max() - wanted)
    chosen = [rng.permutation(pool[deciles[pool] == decile]) for decile in np.unique(deciles[pool])[::-1]]
    return np.concatenate([each[: -(-n // wanted)] for each in chosen])[:n]
