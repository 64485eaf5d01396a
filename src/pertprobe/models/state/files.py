"""The files of a State model directory, read without executing pickled code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pertprobe.errors import PertprobeError, listed, raise_together
from pertprobe.files import sha256
from pertprobe.models.state import places
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.options import USED
from pertprobe.models.state.shapes import weight_shapes
from pertprobe.models.state.told import plain_names, told_by_weights
from pertprobe.readers.saved import read_saved
from pertprobe.readers.texts import read_yaml
from pertprobe.readers.weights import weight_faults

DATA_OPTIONS = ("embed_key", "output_space", "control_pert", "basal_mapping_strategy")
MODEL_NAMES = ("state", "pertsets", "neuralot")
"""What State's history calls its transition model, in lower case; its own loader takes them for one class."""
BACKBONE = "transformer_backbone."
MANY = 8
"""More weights than these that are missing, or unexpected, are counted and not listed."""
# All-zero and unused, since State feeds `inputs_embeds`; or heads that only training reads.
IGNORED = (BACKBONE + "embed_tokens.", BACKBONE + "wte.", "batch_classifier.")


class StateFiles(NamedTuple):
    """What a model directory holds, as read."""

    options: dict[str, Any]
    """Hyper-parameters: the checkpoint's, completed by config.yaml and by what the weights tell."""
    state_dict: dict[str, Tensor]
    """Weights by State's own names."""
    perturbations: dict[str, Tensor]
    """Name -> feature vector [pert_dim], in State's order."""
    batches: tuple[str, ...]
    """Labels in the order of their index; empty if the directory has no batch map."""
    cell_types: tuple[str, ...]
    gene_names: tuple[str, ...]
    hashes: dict[str, str]
    """File name in the directory -> SHA-256."""
    warnings: tuple[str, ...]


def read_state_directory(path: str | Path, checkpoint: str | None = None) -> StateFiles:
    """Read a State model directory with the file names of any State version.

    Args:
        path: the directory.
        checkpoint: a file in it, in `checkpoints/`, or elsewhere; by default final, last, best or the last step.

    Raises:
        PertprobeError: files are absent (all are listed), damaged, contradictory or ask for foreign code.
    """
    root = Path(path)
    found = places.needed(root, checkpoint)
    if absent := [name for name, file in found.items() if file is None]:
        below = places.directories_below(root)
        inside = f". There are some in it: {listed(below)}. Give one of these" if below else ""
        raise PertprobeError(f"model: {root} is no State model directory: {', '.join(absent)} absent{inside}")
    batch_file, type_file = places.batch_map(root), places.cell_type_map(root)
    config, dims, saved = (_mapping(found[name]) for name in ("config.yaml", "var_dims.pkl", places.CHECKPOINT))
    options, notes = _options(config, _section(saved, "hyper_parameters", found[places.CHECKPOINT].name))
    weights, renamed = plain_names(_tensors(saved.get("state_dict"), found[places.CHECKPOINT].name))
    told = told_by_weights(options, weights, {name: tuple(each.shape) for name, each in weights.items()})
    options = told.options
    gene_names = options.get("gene_names") or dims.get("gene_names") or ()
    files = [file for file in (*found.values(), batch_file, type_file) if file is not None]
    return StateFiles(
        options,
        weights,
        _features(_mapping(found["pert_onehot_map.pt"]), found["pert_onehot_map.pt"].name),
        _labels(batch_file) if batch_file else (),
        tuple(sorted(map(str, _mapping(type_file)))) if type_file else (),
        tuple(str(name) for name in gene_names),
        {places.place(file, root): sha256(file) for file in files},
        (*notes, *renamed, *told.notes),
    )


def _mapping(path: Path) -> dict[str, Any]:
    loaded = read_yaml(path, path.name) if path.suffix == ".yaml" else read_saved(path)
    if loaded is None:
        raise PertprobeError(f"{path.name}: is empty. Copy it again from the model's directory")
    if not isinstance(loaded, dict):
        raise PertprobeError(f"{path.name}: holds a {type(loaded).__name__}, not a dictionary")
    return loaded


def _tensors(loaded: object, name: str) -> dict[str, Tensor]:
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise PertprobeError(f"{name}: holds no dictionary of names and tensors")
    return {str(key): value for key, value in loaded.items()}


def _features(loaded: object, name: str) -> dict[str, Tensor]:
    """Return name -> feature vector; raises `Faults` where one is no row of finite real numbers."""
    rows, faults = _tensors(loaded, name), []
    for key, row in rows.items():
        if row.ndim != 1 or row.is_complex():
            kind = str(row.dtype).removeprefix("torch.")
            faults.append(f"'{key}' is {tuple(row.shape)} of the type {kind}, one row of real numbers is expected")
        elif not torch.isfinite(row).all():
            faults.append(f"'{key}' has values that are not finite")
    raise_together(faults[:MANY], f"{name}: ")
    return rows


def _section(within: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """Return a part of what a file holds, empty where there is none; raises PertprobeError where it is no section."""
    found = within.get(name) or {}
    if not isinstance(found, Mapping):
        raise PertprobeError(f"{where}: {name} holds a {type(found).__name__}, options by name are expected")
    return found


def _options(config: Mapping[str, Any], hyper_parameters: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Join both, the checkpoint first: late edits, such as decoder_cfg, are in it alone."""
    model, data = (_section(config, name, "config.yaml") for name in ("model", "data"))
    data = _section(data, "kwargs", "config.yaml: data")
    if not model and not data:
        raise PertprobeError("config.yaml: has neither model nor data, as State's has. Copy it again")
    name = str(model.get("name") or "state")
    if name.lower() not in MODEL_NAMES:
        raise PertprobeError(
            f"config.yaml: model '{name}' is not State's transition model, which is called {' or '.join(MODEL_NAMES)}"
        )
    written = dict(_section(model, "kwargs", "config.yaml: model"))
    written |= {key: data[key] for key in DATA_OPTIONS if key in data}
    notes = [
        f"config.yaml says {key} = {written[key]!r}, the checkpoint {value!r}: the checkpoint is used"
        for key, value in hyper_parameters.items()
        if key in written and key in USED and isinstance(value, int | float | str) and written[key] != value
    ]
    notes += [f"config.yaml calls the model '{name}', an earlier name of State's class"] * (name.lower() != "state")
    return written | dict(hyper_parameters), notes


def _labels(path: Path) -> tuple[str, ...]:
    rows = _features(_mapping(path), path.name)
    index = {name: int(row.argmax()) if row.count_nonzero() == 1 else -1 for name, row in rows.items()}
    if sorted(index.values()) != list(range(len(rows))):
        raise PertprobeError(f"{path.name}: rows are not one-hot, so batch labels have no index")
    return tuple(sorted(index, key=index.__getitem__))


def clean_state_dict(state_dict: Mapping[str, Tensor], architecture: StateArchitecture) -> dict[str, Tensor]:
    """Return the weights that `weight_shapes` names, LoRA merged (W = base + alpha / r * B A), the unused dropped.

    Raises:
        PertprobeError: keys are missing, unexpected or misshapen, or weights not finite; all are listed together.
    """
    tensors = {key.replace("base_model.model.", "").replace(".base_layer.", "."): w for key, w in state_dict.items()}
    tensors = {key: value for key, value in tensors.items() if not key.startswith(IGNORED)}
    positions = tensors.pop(BACKBONE + "wpe.weight", None)
    raise_together(_layer_faults(architecture, len(tensors)), "checkpoint: ")
    faults = weight_faults(tensors)
    _merge_lora(tensors, architecture)
    expected = weight_shapes(architecture)
    faults += _few([f"'{key}'" for key in expected if key not in tensors], "missing", len(expected))
    surplus = [f"'{key}' {tuple(tensors[key].shape)}" for key in tensors if key not in expected]
    faults += _few(surplus, "unexpected", len(tensors))
    for key in [key for key in expected if key in tensors]:
        if tuple(tensors[key].shape) != expected[key]:
            faults.append(f"'{key}' is {tuple(tensors[key].shape)}, the options say {expected[key]}")
    if positions is not None and positions.any():
        faults.append("'transformer_backbone.wpe.weight' is not zero; position embeddings are not supported")
    raise_together(faults, "checkpoint: ")
    return {key: tensors[key] for key in expected}


def _layer_faults(a: StateArchitecture, n_tensors: int) -> list[str]:
    """Return the numbers of layers that so few tensors cannot fill: before a name is made for each of their weights."""
    asked = {name: getattr(a, name) for name in ("n_encoder_layers", "n_decoder_layers", "n_layers")}
    asked["hidden_dims"] = len(a.gene_decoder.hidden_dims) if a.gene_decoder else 0
    return [
        f"the hyper-parameters ask for {number:,} layers ({name}), but it holds {n_tensors} tensors only"
        for name, number in asked.items()
        if number > n_tensors
    ]


def _few(names: Sequence[str], what: str, total: int) -> list[str]:
    """Return a fault for each weight; one for all where they are so many that another model's file is likelier."""
    if len(names) <= MANY:
        return [f"{name} is {what}" for name in names]
    return [f"{len(names)} of {total} weights are {what} ({listed(names, 5)}): is this the file of another model?"]


def _merge_lora(tensors: dict[str, Tensor], architecture: StateArchitecture) -> None:
    """Fold every LoRA pair of `tensors` into its matrix, in float64: a float32 product would cap agreement at 1e-8."""
    for key in [key for key in tensors if key.endswith(".lora_A.default.weight")]:
        name = key.removesuffix(".lora_A.default.weight")
        if architecture.lora_scale is None:
            raise PertprobeError(f"checkpoint: '{key}' is a LoRA weight, but the hyper-parameters enable no LoRA")
        try:
            down, up = tensors.pop(key).double(), tensors.pop(f"{name}.lora_B.default.weight").double()
            update = architecture.lora_scale * (up @ down)
            # GPT2's Conv1D stores [in, out].
            update = update.T if architecture.backbone == "GPT2" else update
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"] + update
        except (KeyError, RuntimeError) as error:
            raise PertprobeError(
                f"checkpoint: LoRA weights of '{name}' are incomplete or misshapen ({error})"
            ) from error
