"""The TopK sparse autoencoder (Gao et al. 2024, "Scaling and evaluating sparse autoencoders"), and its files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.files import atomic

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
SUPPORTED = {
    "architecture": "topk",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "rescale_acts_by_decoder_norm": False,
}
"""SAELens settings that change what the weights compute, with the value read and written here (its own defaults)."""


@dataclass(frozen=True)
class SparseAutoencoder:
    """Features of activations: x ~ decode(encode(x)), with at most k features active in each row."""

    W_enc: Tensor
    """Encoder [H, F]."""
    b_enc: Tensor
    """Encoder bias [F]."""
    W_dec: Tensor
    """Decoder [F, H]; rows of length 1 when trained here, so that features are in units of the activations."""
    b_dec: Tensor
    """Decoder bias [H], subtracted from the input too."""
    k: int
    """Features kept in each row: the k largest, of them those above 0."""

    def encode(self, activations: Tensor) -> Tensor:
        """Return features [..., F] of activations [..., H]."""
        return top_k(self.pre_activations(activations), self.k)

    def pre_activations(self, activations: Tensor) -> Tensor:
        """Return the features [..., F] before any is set to zero."""
        if activations.shape[-1] != len(self.b_dec):
            width = f"{activations.shape[-1]} wide, the SAE's input {len(self.b_dec)}"
            raise PertprobeError(f"sae: activations are {width}. Train the SAE on the layer and models it is to read.")
        return (activations - self.b_dec) @ self.W_enc + self.b_enc

    def decode(self, features: Tensor) -> Tensor:
        """Return activations [..., H] of features [..., F]."""
        return features @ self.W_dec + self.b_dec

    def to(self, device: str) -> "SparseAutoencoder":
        """Return the same autoencoder on another device."""
        tensors = {name: value.to(device) for name, value in vars(self).items() if name != "k"}
        return SparseAutoencoder(**tensors, k=self.k)

    def save(self, directory: str | Path, metadata: dict[str, Any] | None = None) -> None:
        """Write the SAELens layout: cfg.json (with `metadata`: models, layer) and sae_weights.safetensors.

        The config comes last: a directory that has one is complete.
        """
        tensors = {name: value.detach().cpu().contiguous() for name, value in vars(self).items() if name != "k"}
        (n_inputs, n_features), dtype = self.W_enc.shape, str(self.W_enc.dtype).removeprefix("torch.")
        sizes = {"d_in": n_inputs, "d_sae": n_features, "k": self.k, "dtype": dtype, "device": "cpu"}
        with atomic(Path(directory) / WEIGHTS) as file:
            save_file(tensors, file)
        with atomic(Path(directory) / CONFIG) as file:
            file.write_text(
                json.dumps({**SUPPORTED, **sizes, "metadata": metadata or {}}, indent=2, sort_keys=True) + "\n"
            )

    @staticmethod
    def load(directory: str | Path) -> "SparseAutoencoder":
        """Read the SAELens layout.

        Raises:
            PertprobeError: a file is missing or unreadable, the config asks for something other than a plain TopK SAE,
                or the tensors are not those of the config.
        """
        config = _read_config(Path(directory) / CONFIG)
        tensors = _read_weights(Path(directory) / WEIGHTS, config["d_in"], config["d_sae"])
        return SparseAutoencoder(**tensors, k=config["k"])


def top_k(values: Tensor, k: int) -> Tensor:
    """Keep the k largest of the last axis, of them those above 0; set the others to 0."""
    largest = values.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(values).scatter(-1, largest.indices, largest.values.relu())


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text())
    except FileNotFoundError:
        raise PertprobeError(f"sae: {file} is missing. A SAELens directory holds {CONFIG} and {WEIGHTS}.") from None
    except ValueError as error:
        raise PertprobeError(f"sae: {file} is not JSON ({error}).") from None
    for name, value in SUPPORTED.items():
        if config.get(name, None if name == "architecture" else value) != value:
            found = f"{name} {config.get(name)!r} is not supported, only {value!r}"
            raise PertprobeError(f"sae: {file}: {found}. Convert the SAE to a plain TopK one, or train one here.")
    sizes = {name: config.get(name) for name in ("d_in", "d_sae", "k")}
    if not all(isinstance(size, int) and size > 0 for size in sizes.values()) or sizes["k"] > sizes["d_sae"]:
        raise PertprobeError(
            f"sae: {file}: d_in, d_sae and k must be positive integers with k <= d_sae, found {sizes}."
        )
    return config


def _read_weights(file: Path, n_inputs: int, n_features: int) -> dict[str, Tensor]:
    try:
        tensors = load_file(file)
    except (FileNotFoundError, SafetensorError) as error:
        raise PertprobeError(f"sae: {file} cannot be read ({error}).") from None
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {
        "W_enc": (n_inputs, n_features),
        "b_enc": (n_features,),
        "W_dec": (n_features, n_inputs),
        "b_dec": (n_inputs,),
    }
    if found != expected:
        raise PertprobeError(f"sae: {file} does not fit its {CONFIG}: tensors {found}, expected {expected}.")
    return tensors
