"""Files of sparse autoencoders: the SAELens layout, read and written, and those that were trained elsewhere.

Whatever a file computes is brought into one form (`forms`); what has no such form is refused by name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pertprobe.errors import PertprobeError
from pertprobe.files import atomic, write_json
from pertprobe.interpret.sae.autoencoder import SparseAutoencoder
from pertprobe.interpret.sae.forms import KINDS, Settings, one_form
from pertprobe.interpret.sae.published import CONFIG, WEIGHTS, layout_of, read_config, saelens
from pertprobe.readers.saved import read_saved
from pertprobe.readers.weights import read_safetensors

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
FORMAT = "6.0.0"
"""Version of SAELens whose layout is written: without one it takes a config for an older one's, and drops metadata."""


def write_saelens(sae: SparseAutoencoder, directory: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write cfg.json (with `metadata`: models, layer) and sae_weights.safetensors, as SAELens reads them.

    The config comes last: a directory that has one is complete.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in sae.tensors().items()}
    (n_inputs, n_features), dtype = sae.W_enc.shape, str(sae.W_enc.dtype).removeprefix("torch.")
    topk = {"architecture": "topk", "k": sae.k, "rescale_acts_by_decoder_norm": False}
    plain = {"architecture": "standard" if sae.threshold is None else "jumprelu"}
    config = {
        **(plain if sae.k is None else topk),
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
    path: str | Path,
    kind: str | None = None,
    k: int | None = None,
    apply_b_dec_to_input: bool | None = None,
    dtype: torch.dtype = torch.float32,
) -> SparseAutoencoder:
    """Read an autoencoder trained elsewhere: a folder of SAELens, sparsify or dictionary_learning, or a state dict.

    Args:
        path: a folder, or a .safetensors or torch file (weights only, nothing in it is executed).
        kind: a key of `forms.KINDS`, what a state dict does not say; a folder that says otherwise is refused.
        k: of a topk state dict; a tensor `k` in it counts more.
        apply_b_dec_to_input: whether b_dec is subtracted from the input; None = as a config says, of a state dict where
            it is not called decoder.bias.
        dtype: the numbers that it computes in, whatever it was stored in.

    Raises:
        PertprobeError: files are missing or unreadable, a tensor would be left out, does not fit or is not finite, or
            the config asks for what the one form does not have.
    """
    path = Path(path)
    if path.is_dir():
        found, said = _read_folder(path)
        if kind and kind != said:
            raise PertprobeError(f"sae: {path}: its config says {said}, yours {kind}. Leave kind out")
    elif path.suffix not in SUFFIXES:
        raise PertprobeError(f"sae: {path} is neither a folder nor a file of tensors ({', '.join(SUFFIXES)}).")
    else:
        found = _read_state_dict(path, kind, k, apply_b_dec_to_input)
    return _in_numbers(found, dtype, path)


def sae_arguments(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `read_sae` takes of an entry of the config."""
    return {key: entry[key] for key in ("path", "kind", "k", "apply_b_dec_to_input") if key in entry}


def read_saelens(directory: str | Path) -> SparseAutoencoder:
    """Read a folder that `write_saelens` wrote, in float32; raises PertprobeError as `read_sae` does."""
    directory = Path(directory)
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise PertprobeError(
                f"sae: {directory / name} is missing. A SAELens directory holds {CONFIG} and {WEIGHTS}."
            )
    tensors = read_tensors(directory / WEIGHTS, "sae")
    settings = saelens(directory, read_config(directory / CONFIG), tensors)
    return _in_numbers(one_form(tensors, settings, str(directory / WEIGHTS)), torch.float32, directory)


def _read_folder(folder: Path) -> tuple[SparseAutoencoder, str]:
    """Return the autoencoder of a published folder in float64, and its kind."""
    layout = layout_of(folder)
    tensors = read_tensors(folder / layout.weights, "sae")
    settings = layout.settings(folder, read_config(folder / layout.config), tensors)
    return one_form(tensors, settings, str(folder / layout.weights)), settings.kind


def _read_state_dict(file: Path, kind: str | None, k: int | None, applied: bool | None) -> SparseAutoencoder:
    """Return the autoencoder of a plain state dict in float64, its tensors under any of the usual names."""
    tensors = read_tensors(file, "sae")
    if kind not in KINDS:
        said = "; ".join(f"{name}: {words}" for name, words in KINDS.items())
        raise PertprobeError(f"sae: {file}: a state dict does not say which features are active. Set kind ({said})")
    own = {name for name in tensors if name.rpartition(".")[2] == "k" and kind == "topk"}
    k = next((int(tensors[name]) for name in own if tensors[name].numel() == 1), k)
    return one_form(tensors, Settings(kind, k=k, applied=applied, unused=frozenset({"k"} if own else ())), str(file))


def _in_numbers(sae: SparseAutoencoder, dtype: torch.dtype, path: Path) -> SparseAutoencoder:
    """Return an autoencoder in other numbers; raises PertprobeError where its weights are beyond them."""
    found = sae.to(dtype)
    if beyond := [name for name, value in found.tensors().items() if not torch.isfinite(value).all()]:
        kind = str(dtype).removeprefix("torch.")
        raise PertprobeError(f"sae: {path}: {', '.join(beyond)} has values beyond what {kind} holds.")
    return found


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
