"""Files of sparse autoencoders: the SAELens layout, read and written, and state dicts of those trained elsewhere.

Whatever the file computes is brought into one form, features = activated((x - b_dec) W_enc + b_enc), x' = features
W_dec + b_dec; what has no such form is refused by name.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.files import atomic, write_json
from pertprobe.interpret.sae.autoencoder import SparseAutoencoder
from pertprobe.readers.saved import read_saved
from pertprobe.readers.texts import read_json
from pertprobe.readers.weights import read_safetensors, whole_weights

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ARCHITECTURES = {"topk": "relu of the k largest", "standard": "relu"}
"""Architectures that are read, and what they do."""
PLAIN = {"normalize_activations": "none", "reshape_activations": "none", "finetuning_scaling_factor": False}
"""SAELens settings that change what the weights compute, with the only value that is read (its own defaults)."""
HELP = {
    "normalize_activations": (
        "An average norm can be folded into the weights by SAELens (fold_activation_norm_scaling_factor); a norm of "
        "each row cannot"
    ),
}
NAMES = {
    "W_enc": (("W_enc", False), ("encoder.weight", True)),
    "b_enc": (("b_enc", False), ("encoder.bias", False), ("latent_bias", False)),
    "W_dec": (("W_dec", False), ("decoder.weight", True)),
    "b_dec": (("b_dec", False), ("pre_bias", False), ("bias", False), ("decoder.bias", False)),
}
"""Tensor -> names it has in state dicts, and whether it is stored as nn.Linear stores it, [out, in]."""
WRAPPERS = r"^((module|model|sae|autoencoder)\.)+"
"""What may stand before the names of a state dict."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
FORMAT = "6.0.0"
"""Version of SAELens whose layout is written: without one it takes a config for an older one's, and drops metadata."""
KINDS = {"topk": "the k largest", "relu_l1": "all above 0"}


def write_saelens(sae: SparseAutoencoder, directory: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write cfg.json (with `metadata`: models, layer) and sae_weights.safetensors, as SAELens reads them.

    The config comes last: a directory that has one is complete.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in vars(sae).items() if name != "k"}
    (n_inputs, n_features), dtype = sae.W_enc.shape, str(sae.W_enc.dtype).removeprefix("torch.")
    topk = {"architecture": "topk", "k": sae.k, "rescale_acts_by_decoder_norm": False}
    config = {
        **({"architecture": "standard"} if sae.k is None else topk),
        "d_in": n_inputs,
        "d_sae": n_features,
        "dtype": dtype,
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {**(metadata or {}), "sae_lens_version": FORMAT},
    }
    with atomic(Path(directory) / WEIGHTS) as file:
        save_file(tensors, file)
    write_json(config, Path(directory) / CONFIG)


def read_sae(
    path: str | Path, kind: str | None = None, k: int | None = None, apply_b_dec_to_input: bool | None = None
) -> SparseAutoencoder:
    """Read an autoencoder trained elsewhere: a SAELens directory, or a state dict.

    Args:
        path: a directory with cfg.json, or a .safetensors or torch file (weights only, nothing in it is executed).
        kind: topk or relu_l1, what a state dict does not say; a directory that says otherwise is refused.
        k: of a topk state dict; a tensor `k` in it counts more.
        apply_b_dec_to_input: whether b_dec is subtracted from the input; None = as cfg.json says, of a state dict where
            it is not called decoder.bias.

    Raises:
        PertprobeError: files are missing or unreadable, ask for something else than TopK or ReLU, or do not fit.
    """
    path = Path(path)
    if path.is_dir():
        found = read_saelens(path)
        said = "relu_l1" if found.k is None else "topk"
        if kind and kind != said:
            raise PertprobeError(f"sae: {path}: its {CONFIG} says {said}, the config {kind}. Leave kind out")
        return found
    if path.suffix not in SUFFIXES:
        raise PertprobeError(
            f"sae: {path} is neither a SAELens directory nor a file of tensors ({', '.join(SUFFIXES)})."
        )
    return read_state_dict(path, kind, k, apply_b_dec_to_input)


def sae_arguments(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `read_sae` takes of an entry of the config."""
    return {key: entry[key] for key in ("path", "kind", "k", "apply_b_dec_to_input") if key in entry}


def read_saelens(directory: str | Path) -> SparseAutoencoder:
    """Read a SAELens directory of architecture standard (ReLU) or topk.

    An input bias that is not applied, and activations rescaled by the decoder's norm, are brought into the one form.

    Raises:
        PertprobeError: a file is missing or unreadable, the config asks for what that form does not have, or the
            tensors are not those of the config.
    """
    directory = Path(directory)
    config, weights = _read_config(directory / CONFIG), directory / WEIGHTS
    tensors = whole_weights(read_tensors(weights, "sae"), f"sae: {weights}: ")
    found, expected = _shapes(tensors), _shapes_of(config["d_in"], config["d_sae"])
    if found != expected:
        raise PertprobeError(f"sae: {weights} does not fit its {CONFIG}: tensors {found}, expected {expected}.")
    if config.get("rescale_acts_by_decoder_norm", False):
        tensors = _unit_decoder(tensors)
    return _with_input_bias(tensors, config["k"], applied=config.get("apply_b_dec_to_input", True))


def _read_config(file: Path) -> dict[str, Any]:
    """Return the config with k, None for ReLU; older ones name the activation apart from the architecture."""
    if not file.exists():
        raise PertprobeError(f"sae: {file} is missing. A SAELens directory holds {CONFIG} and {WEIGHTS}.")
    config = read_json(file, f"sae: {file}")
    if not isinstance(config, dict):
        raise PertprobeError(f"sae: {file} holds a {type(config).__name__}, not the settings of an autoencoder.")
    architecture = config.get("architecture")
    activation = config.get("activation_fn_str") or config.get("activation_fn") or "relu"
    if architecture == "standard" and activation == "topk":
        architecture, config["k"] = "topk", (config.get("activation_fn_kwargs") or {}).get("k")
    _refuse_others(file, {**config, "architecture": architecture}, activation)
    config["k"] = config.get("k") if architecture == "topk" else None
    sizes = {name: config.get(name) for name in ("d_in", "d_sae", *(["k"] if architecture == "topk" else []))}
    if not all(isinstance(size, int) and size > 0 for size in sizes.values()) or sizes.get("k", 0) > sizes["d_sae"]:
        raise PertprobeError(
            f"sae: {file}: d_in, d_sae and k must be positive integers with k <= d_sae, found {sizes}."
        )
    return config


def _refuse_others(file: Path, config: Mapping[str, Any], activation: str) -> None:
    """Raise PertprobeError, by name, for what the one form does not have."""
    if config["architecture"] not in ARCHITECTURES:
        found = f"architecture {config['architecture']!r} is not supported, only {' and '.join(ARCHITECTURES)}"
        raise PertprobeError(f"sae: {file}: {found}. Convert the SAE to one of these, or train one here.")
    if config["architecture"] == "standard" and activation != "relu":
        raise PertprobeError(f"sae: {file}: activation_fn {activation!r} is not supported, only 'relu' and 'topk'.")
    for name, value in PLAIN.items():
        if config.get(name, value) not in (value, None):
            advice = HELP.get(name, "Convert the SAE to a plain one, or train one here")
            raise PertprobeError(f"sae: {file}: {name} {config[name]!r} is not supported, only {value!r}. {advice}.")


def read_state_dict(
    file: str | Path, kind: str | None, k: int | None = None, apply_b_dec_to_input: bool | None = None
) -> SparseAutoencoder:
    """Read an autoencoder from a plain state dict, its tensors under any of the usual names (`NAMES`).

    Raises:
        PertprobeError: the file cannot be read, a tensor is missing or of another shape, or it is not said what the
            features are.
    """
    file = Path(file)
    tensors = {re.sub(WRAPPERS, "", name): tensor for name, tensor in read_tensors(file, "sae").items()}
    if kind not in KINDS:
        said = "; ".join(f"{name}: {words}" for name, words in KINDS.items())
        raise PertprobeError(f"sae: {file}: a state dict does not say which features are active. Set kind ({said})")
    names = {what: _named(tensors, choices, file, what) for what, choices in NAMES.items()}
    found = {what: tensors[name].mT if turned else tensors[name] for what, (name, turned) in names.items()}
    found = whole_weights(found, f"sae: {file}: ")
    found = {what: tensor.float().contiguous() for what, tensor in found.items()}
    _check_shapes(found, file)
    applied = names["b_dec"][0] != "decoder.bias" if apply_b_dec_to_input is None else apply_b_dec_to_input
    own = int(tensors["k"]) if "k" in tensors else k
    if kind == "topk" and not (own and 0 < own <= len(found["b_enc"])):
        raise PertprobeError(f"sae: {file}: k is {own}, but there are {len(found['b_enc'])} features. Set k.")
    return _with_input_bias(found, own if kind == "topk" else None, applied=applied)


def read_tensors(file: Path, what: str) -> dict[str, Tensor]:
    """Return the tensors of a file by name; those of a checkpoint may lie one level down.

    Raises:
        PertprobeError: the file cannot be read, or holds no tensors; `what` should be in it.
    """
    if file.suffix == ".safetensors":
        return read_safetensors(file, f"{what}: {file}")
    found = read_saved(file, f"{what}: {file}")
    for level in ("state_dict", "model", "sae", "model_state_dict"):
        if isinstance(found, Mapping) and isinstance(found.get(level), Mapping):
            found = found[level]
    if not isinstance(found, Mapping) or not any(isinstance(each, Tensor) for each in found.values()):
        raise PertprobeError(f"{what}: {file} holds no tensors by name.")
    return {str(name): each for name, each in found.items() if isinstance(each, Tensor)}


def _named(tensors: Mapping[str, Tensor], choices: tuple, file: Path, what: str) -> tuple[str, bool]:
    """Return the name under which a tensor is found, and whether it is turned."""
    for wanted, turned in choices:
        if wanted in tensors:
            return wanted, turned
    known = ", ".join(name for name, _ in choices)
    raise PertprobeError(f"sae: {file}: no {what} (one of {known}) among {', '.join(sorted(tensors))}.")


def _check_shapes(found: Mapping[str, Tensor], file: Path) -> None:
    """Raise PertprobeError where the four tensors are not of one autoencoder."""
    shapes = _shapes(found)
    F, H = shapes["W_dec"] if len(shapes["W_dec"]) == 2 else (None, None)
    expected = _shapes_of(H, F)
    if shapes != expected:
        raise PertprobeError(f"sae: {file}: tensors {shapes} are not of one autoencoder, {expected} expected.")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _shapes_of(H: int | None, F: int | None) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of an autoencoder of F features for activations that are H wide."""
    return {"W_enc": (H, F), "b_enc": (F,), "W_dec": (F, H), "b_dec": (H,)}


def _unit_decoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same autoencoder with decoder rows of length 1: what it multiplies features with at run time.

    Rows of length 0 write nothing; their features stay as they are.
    """
    norms = tensors["W_dec"].norm(dim=1)
    scaled = {"W_enc": tensors["W_enc"] * norms, "b_enc": tensors["b_enc"] * norms}
    return {**tensors, **scaled, "W_dec": tensors["W_dec"] / torch.where(norms > 0, norms, 1.0)[:, None]}


def _with_input_bias(tensors: Mapping[str, Tensor], k: int | None, *, applied: bool) -> SparseAutoencoder:
    """Return the autoencoder whose decoder bias is subtracted from the input, whether it was or not."""
    b_enc = tensors["b_enc"] if applied else tensors["b_enc"] + tensors["b_dec"] @ tensors["W_enc"]
    return SparseAutoencoder(tensors["W_enc"], b_enc, tensors["W_dec"], tensors["b_dec"], k)
