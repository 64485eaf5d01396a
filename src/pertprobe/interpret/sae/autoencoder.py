"""Sparse autoencoders: TopK (Gao et al. 2024, "Scaling and evaluating sparse autoencoders"), ReLU, and JumpReLU.

The last (Rajamanoharan et al. 2024, "Jumping ahead") is what gated and batch-TopK ones are too once they are trained.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pertprobe.errors import PertprobeError


@dataclass(frozen=True)
class SparseAutoencoder:
    """Features of activations: x ~ decode(encode(x)), few of them active in each row."""

    W_enc: Tensor
    """Encoder [H, F]."""
    b_enc: Tensor
    """Encoder bias [F]."""
    W_dec: Tensor
    """Decoder [F, H]; rows of length 1 when trained here, so that features are in units of the activations."""
    b_dec: Tensor
    """Decoder bias [H], subtracted from the input too."""
    k: int | None
    """Features kept in each row, the k largest, of them those above 0; None = all above 0 (ReLU)."""
    threshold: Tensor | None = None
    """What features must exceed to be active [F], beside being above 0 (JumpReLU); None = 0."""

    def encode(self, activations: Tensor) -> Tensor:
        """Return features [..., F] of activations [..., H]."""
        values = self.pre_activations(activations)
        if self.threshold is not None:
            return values.relu() * (values > self.threshold)
        return activated(values, self.k)

    def pre_activations(self, activations: Tensor) -> Tensor:
        """Return the features [..., F] before any is set to zero."""
        if activations.shape[-1] != len(self.b_dec):
            width = f"{activations.shape[-1]} wide, the SAE's input {len(self.b_dec)}"
            raise PertprobeError(f"sae: activations are {width}. Train the SAE on the layer and models it is to read.")
        return (activations - self.b_dec) @ self.W_enc + self.b_enc

    def decode(self, features: Tensor) -> Tensor:
        """Return activations [..., H] of features [..., F]."""
        return features @ self.W_dec + self.b_dec

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by name, the threshold where it has one."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: str | torch.dtype) -> "SparseAutoencoder":
        """Return the same autoencoder on another device, or in other numbers."""
        return SparseAutoencoder(**{name: value.to(device) for name, value in self.tensors().items()}, k=self.k)


def activated(values: Tensor, k: int | None) -> Tensor:
    """Return what of the last axis is active: the k largest, of them those above 0; with k None all above 0."""
    return values.relu() if k is None else top_k(values, k)


def top_k(values: Tensor, k: int) -> Tensor:
    """Keep the k largest of the last axis, of them those above 0; set the others to 0."""
    largest = values.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(values).scatter(-1, largest.indices, largest.values.relu())
