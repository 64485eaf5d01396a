"""Principal components that explain as much as a sparse autoencoder: what it has to beat.

A program may be coherent in SAE features because it is coherent in the activations. Components of the same activations,
weighted alike and leaving the same fraction of variance, show what a linear code without sparseness gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.files import atomic
from pertprobe.interpret.sae.files import read_tensors
from pertprobe.interpret.sae.training import checked_rows

CHUNK = 8192
"""Rows summed at a time, in float64."""


@dataclass(frozen=True)
class PrincipalComponents:
    """Orthonormal directions of activations, the one of largest variance first."""

    mean: Tensor
    """The activations' weighted mean [H]."""
    components: Tensor
    """Directions [n, H] of length 1; the largest entry of each is positive."""

    def encode(self, activations: Tensor) -> Tensor:
        """Return scores [..., n] of activations [..., H].

        Raises:
            PertprobeError: the activations have another width.
        """
        if activations.shape[-1] != len(self.mean):
            width = f"{activations.shape[-1]} wide, the components {len(self.mean)}"
            raise PertprobeError(f"pca: activations are {width}. Read the layer and models the components are of.")
        return (activations - self.mean) @ self.components.T

    def decode(self, scores: Tensor, /) -> Tensor:
        """Return activations [..., H] of scores [..., n]."""
        return scores @ self.components + self.mean

    def to(self, device: str) -> "PrincipalComponents":
        """Return the same components on another device."""
        return PrincipalComponents(self.mean.to(device), self.components.to(device))


def write_components(pca: PrincipalComponents, file: str | Path) -> None:
    """Write `mean` and `components` as safetensors."""
    with atomic(file) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in vars(pca).items()}, temporary)


def read_components(file: str | Path) -> PrincipalComponents:
    """Read what `write_components` wrote.

    Raises:
        PertprobeError: the file is missing, unreadable, or holds something else.
    """
    tensors = read_tensors(Path(file), "pca")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if set(shapes) != {"mean", "components"} or shapes["components"][1:] != shapes["mean"]:
        raise PertprobeError(f"pca: {file} holds {shapes}, expected mean [H] and components [n, H].")
    return PrincipalComponents(**tensors)


def principal_components(activations: Mapping[str, Tensor], unexplained: float) -> PrincipalComponents:
    """Return the fewest components, at least one, that leave at most a given fraction of variance unexplained.

    The fraction is the mean over models of squared error over the model's own variance, which is what `train_sae`
    minimises; constant models have none and are left out. The components minimise it among all affine maps of their
    rank: eigenvectors of C = mean over models of E|(x - mu)(x - mu)'| / variance, mu the mean under the same weights,
    and what n of them leave is the sum of the remaining eigenvalues.

    Args:
        activations: rows [n, H] by model.
        unexplained: the fraction to reach, the mean over models of the SAE's `fvu`.

    Raises:
        PertprobeError: no activations, different widths, values that are not finite.
    """
    moments = [_moments(x) for x in checked_rows(activations).values()]
    moments = [(own, spread) for own, spread in moments if np.trace(spread) > 1e-12 * (own @ own)] or moments
    weights = [1 / max(float(np.trace(covariance)), 1e-300) for _, covariance in moments]
    mean = np.average([mean for mean, _ in moments], axis=0, weights=weights)
    spreads = [covariance + np.outer(own - mean, own - mean) for own, covariance in moments]
    pooled = np.mean([weight * spread for weight, spread in zip(weights, spreads, strict=True)], axis=0)
    values, vectors = np.linalg.eigh(pooled)
    left = np.append(np.cumsum(values.clip(0))[::-1], 0.0)  # by 0, 1, ... H components
    n = max(1, int(np.argmax(left <= unexplained)))
    return PrincipalComponents(torch.from_numpy(mean).float(), torch.from_numpy(_turned(vectors.T[::-1][:n])).float())


def _turned(directions: np.ndarray) -> np.ndarray:
    """Give each direction [n, H] the sign by which its largest entry is positive."""
    largest = np.abs(directions).argmax(axis=1, keepdims=True)
    return directions * np.sign(np.take_along_axis(directions, largest, axis=1))


def _moments(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean [H] and covariance [H, H] of rows [n, H], in float64."""
    mean = x.double().mean(dim=0)
    centred = (part.double() - mean for part in x.split(CHUNK))
    covariance = sum((part.T @ part for part in centred), start=torch.zeros(len(mean), len(mean), dtype=torch.float64))
    return mean.cpu().numpy(), (covariance / len(x)).cpu().numpy()
