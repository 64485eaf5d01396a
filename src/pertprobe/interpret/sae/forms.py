"""What published sparse autoencoders compute, brought into one form.

Features are what is active of (x - b_dec) W_enc + b_enc, and x' = features W_dec + b_dec. A gated autoencoder is one
with thresholds (Rajamanoharan et al. 2024, "Jumping ahead", appendix): of z = (x - b_dec) W_enc its magnitude is
exp(r_mag) z + b_mag, and its gate z + b_gate > 0 says that this exceeds b_mag - exp(r_mag) b_gate. One trained with
batch-TopK keeps what exceeds the threshold that its training measured.

Everything here is computed in float64: weights are stored in as few bits as 16, and sums of them are not.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from pertprobe.errors import PertprobeError, listed, raise_together
from pertprobe.interpret.sae.autoencoder import SparseAutoencoder

KINDS = {
    "topk": "the k largest",
    "relu_l1": "all above 0",
    "jumprelu": "all above a threshold, as of JumpReLU and batch-TopK",
    "gated": "all whose gate is open",
}
"""Kind of an autoencoder -> which of its features are active."""
LINEAR = ("W_enc", "b_enc", "W_dec", "b_dec")
PARTS = {
    "topk": LINEAR,
    "relu_l1": LINEAR,
    "jumprelu": (*LINEAR, "threshold"),
    "gated": ("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec"),
}
"""Kind -> the tensors that it computes with."""
WRAPPERS = r"^((_orig_mod|module|model|sae|autoencoder|ae)\.)+"
"""What may stand before the names of a state dict."""


class Stored(NamedTuple):
    """A name that a tensor has in files."""

    name: str
    turned: bool = False
    """Whether it is stored as nn.Linear stores it, [out, in]."""
    meant: Callable[[Tensor], Tensor] = lambda stored: stored
    """What is computed with, of what is stored."""


NAMES = {
    "W_enc": (Stored("W_enc"), Stored("encoder.weight", turned=True)),
    "b_enc": (Stored("b_enc"), Stored("encoder.bias"), Stored("latent_bias")),
    "W_dec": (Stored("W_dec"), Stored("decoder.weight", turned=True)),
    "b_dec": tuple(map(Stored, ("b_dec", "pre_bias", "bias", "decoder_bias", "decoder.bias"))),
    "threshold": (
        *map(Stored, ("threshold", "topk_threshold")),
        *(Stored(name, meant=torch.exp) for name in ("log_threshold", "log_jumprelu_threshold")),
    ),
    "b_gate": (Stored("b_gate"), Stored("gate_bias")),
    "b_mag": (Stored("b_mag"), Stored("mag_bias")),
    "r_mag": (Stored("r_mag"),),
    "scaling_factor": (Stored("scaling_factor"), Stored("finetuning_scaling_factor")),
}
"""Tensor -> its names in the files of SAELens, sparsify, dictionary_learning and others."""


class Settings(NamedTuple):
    """What a file's config says about its tensors."""

    kind: str
    """A key of KINDS."""
    k: int | None = None
    """Of topk."""
    applied: bool | None = None
    """Whether b_dec is subtracted from the input; None = unless it is called decoder.bias."""
    by_decoder_norm: bool = False
    """Whether features are chosen as if decoder rows had length 1."""
    scaled: bool = False
    """Whether features are multiplied by `scaling_factor` before they are written."""
    input_scale: float = 1.0
    """What activations were multiplied with in training, and are not here."""
    unused: frozenset[str] = frozenset()
    """Tensors that the library itself computes nothing with."""


def one_form(tensors: Mapping[str, Tensor], settings: Settings, where: str) -> SparseAutoencoder:
    """Return the autoencoder that tensors and their config describe, in float64.

    Args:
        tensors: by the names of the file, which `where` tells.
        settings: what its config says.
        where: the file, for messages.

    Raises:
        PertprobeError: a tensor is missing, misshapen, not of numbers, not finite, or would be left out.
    """
    bare = {re.sub(WRAPPERS, "", name): tensor for name, tensor in tensors.items()}
    wanted = PARTS[settings.kind] + (("scaling_factor",) if settings.scaled else ())
    used = {part: _stored(bare, part, where) for part in wanted}
    _refuse_left_out(bare, {*(each.name for each in used.values()), *settings.unused}, settings.kind, where)
    parts = {part: _numbers(bare[each.name], each, where) for part, each in used.items()}
    _check_shapes(parts, where)
    if empty := [used[part].name for part in ("W_enc", "W_dec") if not parts[part].any()]:
        raise PertprobeError(f"sae: {where}: '{empty[0]}' is zero throughout. Give the weights that were trained.")
    subtracted = used["b_dec"].name != "decoder.bias" if settings.applied is None else settings.applied
    if settings.kind == "topk" and not (settings.k and 0 < settings.k <= len(parts["b_enc"])):
        raise PertprobeError(
            f"sae: {where}: k is {settings.k}, but there are {len(parts['b_enc'])} features. Set k between 1 and "
            f"{len(parts['b_enc'])}."
        )
    return _joined(parts, settings, subtracted=subtracted)


def _stored(tensors: Mapping[str, Tensor], part: str, where: str) -> Stored:
    """Return the name under which a tensor is found."""
    found = [each for each in NAMES[part] if each.name in tensors]
    if not found:
        known = ", ".join(each.name for each in NAMES[part])
        raise PertprobeError(f"sae: {where}: no {part} (one of {known}) among {', '.join(sorted(tensors))}.")
    return found[0]


def _refuse_left_out(tensors: Mapping[str, Tensor], used: set[str], kind: str, where: str) -> None:
    """Raise PertprobeError, by name, for tensors that a kind computes nothing with."""
    if not (left := sorted(set(tensors) - used)):
        return
    parts = {part for part, names in NAMES.items() if any(each.name in left for each in names)}
    better = [other for other, needed in PARTS.items() if other != kind and parts and parts <= set(needed)]
    advice = f"Set kind to {' or '.join(better)}, if that is what it is" if better else "Take them out if they are none"
    raise PertprobeError(
        f"sae: {where}: an autoencoder of the kind {kind} ({KINDS[kind]}) would leave out the tensors {listed(left)}, "
        f"and its features would not be those that were published. {advice}."
    )


def _numbers(tensor: Tensor, stored: Stored, where: str) -> Tensor:
    """Return a tensor in float64, as it is computed with."""
    if not tensor.is_floating_point():
        raise PertprobeError(
            f"sae: {where}: '{stored.name}' holds {str(tensor.dtype).removeprefix('torch.')}, no weights."
        )
    found = stored.meant((tensor.mT if stored.turned and tensor.ndim == 2 else tensor).double())
    if not torch.isfinite(found).all():
        raise PertprobeError(f"sae: {where}: '{stored.name}' has values that are not finite.")
    return found


def _check_shapes(parts: dict[str, Tensor], where: str) -> None:
    """Raise PertprobeError where tensors are not of one autoencoder; one threshold for all features is spread."""
    F, H = parts["W_dec"].shape if parts["W_dec"].ndim == 2 else (None, None)
    if "threshold" in parts and parts["threshold"].numel() == 1 and F:
        parts["threshold"] = parts["threshold"].reshape(1).repeat(F)
    matrices = {"W_enc": (H, F), "W_dec": (F, H), "b_dec": (H,)}
    wanted = {part: matrices.get(part, (F,)) for part in parts}
    raise_together(
        [
            f"'{part}' {tuple(each.shape)} is not of one autoencoder with W_dec {tuple(parts['W_dec'].shape)}, "
            f"{wanted[part]} expected"
            for part, each in parts.items()
            if tuple(each.shape) != wanted[part]
        ],
        f"sae: {where}: ",
    )


def _joined(parts: dict[str, Tensor], settings: Settings, *, subtracted: bool) -> SparseAutoencoder:
    """Return checked tensors as one autoencoder; what each step does is the inverse of what its library does later."""
    W_enc, W_dec, b_dec = (parts[name] for name in ("W_enc", "W_dec", "b_dec"))
    threshold = parts.get("threshold")
    if settings.kind == "gated":
        growth = parts["r_mag"].exp()
        W_enc, b_enc = W_enc * growth, parts["b_mag"]
        threshold = parts["b_mag"] - growth * parts["b_gate"]
    else:
        b_enc = parts["b_enc"]
    if settings.by_decoder_norm:  # the threshold is one of features so scaled
        lengths = W_dec.norm(dim=1)
        W_enc, b_enc = W_enc * lengths, b_enc * lengths
        # Rows of length 0 write nothing.
        W_dec = W_dec / torch.where(lengths > 0, lengths, 1.0)[:, None]
    if settings.scaled:
        W_dec = parts["scaling_factor"][:, None] * W_dec
    W_enc, W_dec, b_dec = W_enc * settings.input_scale, W_dec / settings.input_scale, b_dec / settings.input_scale
    b_enc = b_enc if subtracted else b_enc + b_dec @ W_enc
    k = settings.k if settings.kind == "topk" else None
    return SparseAutoencoder(*(each.contiguous() for each in (W_enc, b_enc, W_dec, b_dec)), k=k, threshold=threshold)
