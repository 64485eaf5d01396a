"""The model whose response is read out of its code: a program's direction carries what its members share, and it alone.

Where other planted models act through gates too small for a layer's geometry, here what a perturbation does is a linear
map of its code, so that a patch along a program's direction recovers a share that is known.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor

from pertprobe.models.additive import AdditiveModel
from pertprobe.models.base import Capability, Encoded, Mixed, StraightBlocks
from pertprobe.models.planted.materials import (
    EFFECT,
    NOISE,
    Floats,
    loaded_codes,
    membership,
    noise_codes,
    orthonormal_readout,
)
from pertprobe.seeding import generator
from pertprobe.statistics.similarity import contrast

LONGEST = 100.0
"""Loading beyond which no effect grows."""


class LinearReadoutModel(StraightBlocks, AdditiveModel):
    """Y_s = X_s + r_k R: implements `pertprobe.models.base.Model` with every stage; the hidden states are the code."""

    n_layers = 2
    capabilities: frozenset[Capability] = AdditiveModel.capabilities | {"stages", "resume"}

    def __init__(self, codes: Mapping[str, np.ndarray], readout: np.ndarray, **names: Any) -> None:
        """Take the code r [D] of each perturbation, the control's zero unless given, and the readout R [D, G].

        `names`: genes, control and what else `AdditiveModel` takes.
        """
        super().__init__({name: code @ readout for name, code in codes.items()}, **names)
        self.readout = torch.as_tensor(readout, dtype=self.dtype)
        given = {self.control: np.zeros(len(readout))} | dict(codes)
        self.codes = {name: torch.as_tensor(code, dtype=self.dtype) for name, code in given.items()}
        self.card |= {"kind": "routed"}

    def encode_perturbations(self, names: Sequence[str]) -> Tensor:
        """Return the codes [P, D]."""
        return torch.stack([self.codes[name] for name in names])

    def encode_cells(self, X: Tensor, batch: Tensor | None = None, multiplicity: Tensor | None = None) -> Encoded:
        """Return the cells as residual; their place in the hidden states is zero [..., S, D]."""
        return Encoded(X, X.new_zeros(*X.shape[:-1], len(self.readout)), multiplicity)

    def decode(self, mixed: Mixed, encoded: Encoded, X: Tensor | None = None) -> Tensor:
        """Return the output [..., S, G]."""
        return encoded.residual + mixed.h @ self.readout


def linear_readout_model(
    *,
    genes: Sequence[str],
    perturbations: Sequence[str],
    control: str,
    programs: Mapping[str, Collection[str]],
    namers: Mapping[str, Collection[str]],
    d: float,
    seed: int,
    set_size: int = 32,
) -> LinearReadoutModel:
    """Return the model in which held-out members of each program recover a share d sd above that of all others.

    Codes are noise on a sphere of NOISE dimensions and, for members, a loading on their program's own direction. R has
    orthonormal rows as far as there are genes.

    Args:
        genes: inputs and outputs.
        perturbations: all but the control.
        control: its name; its code is zero.
        programs: members.
        namers: the members of each program that name its direction.
        d: shift of the other members' recovered share, in sd of all others.
        seed: of all draws, each by names.
        set_size: cells a set.
    """
    inside, named = (membership(perturbations, {p: sets[p] for p in programs}) for sets in (programs, namers))
    loaded = solve_loadings(noise_codes(perturbations, seed), inside, named, d)
    readout = orthonormal_readout(loaded.shape[1], len(genes), seed)
    codes = dict(zip(perturbations, loaded, strict=True))
    return LinearReadoutModel(codes, readout, genes=genes, control=control, set_size=set_size)


def solve_loadings(noise: Floats, inside: NDArray[np.bool_], named: NDArray[np.bool_], d: float) -> Floats:
    """Return codes [P, D + K]: the noise [P, D], and the members' loading on the direction of each of K programs.

    Each loading is solved for so that the recovered shares of the members that do not name are d sd higher than those
    of all others, given the loadings of the programs before it; `inside` and `named` are [P, K].
    """
    codes = np.concatenate([noise, np.zeros(inside.shape)], axis=1)
    for k in range(inside.shape[1]):
        column = noise.shape[1] + k

        def missing(length: float, k: int = k, column: int = column) -> float:
            """Return how far a loading of this length shifts members beyond d."""
            codes[:, column] = length * inside[:, k]
            return _shift(codes, inside[:, k], named[:, k]) - d

        found = brentq(missing, 0.0, LONGEST) if missing(0.0) < 0 < missing(LONGEST) else 0.0
        codes[:, column] = found * inside[:, k]
    return codes


def _shift(codes: Floats, inside: NDArray[np.bool_], named: NDArray[np.bool_]) -> float:
    """Return how many sd of all others the members that do not name recover more: squared cosines, R orthonormal."""
    direction = contrast(codes, named)
    shares = (codes @ direction) ** 2 / ((codes**2).sum(axis=1) * max(direction @ direction, 1e-300))
    others = shares[~inside]
    return float((shares[inside & ~named].mean() - others.mean()) / others.std(ddof=1))


def concept_model(
    *,
    genes: Sequence[str],
    perturbations: Sequence[str],
    control: str,
    programs: Mapping[str, Collection[str]],
    outputs: Mapping[str, Collection[str]],
    d: float,
    seed: int,
    set_size: int = 32,
) -> LinearReadoutModel:
    """Return the model in which each program's genes read the direction that its members' codes share.

    Codes are noise and, for members, `materials.loadings` on a direction of their own; the outputs of a program read
    that direction with weight 1, and every output reads noise of as many dimensions with EFFECT / 2 in all.

    Args:
        genes: inputs and outputs.
        perturbations: all but the control.
        control: its name; its code is zero.
        programs: members.
        outputs: genes of each program that read its direction.
        d: shift of members in sd of all others, in mean cosine with members.
        seed: of all draws, each by names.
        set_size: cells a set.
    """
    loaded = loaded_codes(perturbations, membership(perturbations, programs), d, seed)
    drawn = generator(seed, "planted", "concept").normal(size=(NOISE, len(genes)))
    own = membership(genes, {program: outputs[program] for program in programs}).T.astype(float)
    readout = np.concatenate([EFFECT / 2 * drawn / np.sqrt(NOISE), EFFECT * own])
    codes = dict(zip(perturbations, loaded, strict=True))
    return LinearReadoutModel(codes, readout, genes=genes, control=control, set_size=set_size)
