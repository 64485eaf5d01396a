"""What an autoencoder's own config says it was trained on, against what the run reads with it."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertprobe.data.findings import Finding
from pertprobe.errors import listed
from pertprobe.interpret.sae.activations import layer_number

if TYPE_CHECKING:
    from pertprobe.models.base import Model


def origin_findings(key: str, entry: Mapping[str, Any], models: Mapping[str, "Model"]) -> Iterator[Finding]:
    """Yield where cfg.json beside the weights names another layer or other models than the config.

    Raises PertprobeError where one of the layers is none of a model's.

    Args:
        key: the autoencoder's, in the config.
        entry: its entry: path, layer, models.
        models: the given models by name; of others nothing is asked.
    """
    folder = Path(entry["path"])
    file = (folder if folder.is_dir() else folder.parent) / "cfg.json"
    told: Any = {}
    with suppress(ValueError):  # what reads the weights says what is wrong with it
        told = json.loads(file.read_text()) if file.is_file() else {}
    told = {**told, **(told.get("metadata") or {})} if isinstance(told, dict) else {}
    for name in entry["models"]:
        if name in models:
            yield _layer(key, told, entry.get("layer", "middle"), name, models[name])
    theirs = [str(name) for name in told.get("models") or ()]
    if theirs and not {*theirs} & {*entry["models"]}:
        words = f"cfg.json says that it was trained on {listed(theirs)}, the config reads {listed(entry['models'])}"
        yield Finding(key, "models", "note", len(theirs), len(theirs), words)


def _layer(key: str, told: Mapping[str, Any], asked: Any, name: str, model: "Model") -> Finding:
    """Return whether the layer that cfg.json names is the one that is read of a model."""
    wanted = layer_number(model, asked)
    if "layer" in told:  # as a run here writes it
        theirs = layer_number(model, told["layer"])
        words = f"cfg.json says that it was trained on layer {told['layer']} ({theirs} of {name}), the config asks for "
        words += f"{asked} ({wanted}). Set {key}.layer to {told['layer']}"
        return Finding(key, "layer", *(("good", 0, 1, "") if theirs == wanted else ("fault", 1, 1, words)))
    named = re.search(r"(?:blocks|layers|h)\.(\d+)", str(told.get("hook_name", "")))
    hook = told.get("hook_layer", named and named.group(1))
    if not str(hook).isdigit():
        return Finding(key, "layer", "uncheckable", 0, 1, "nothing beside its weights names its layer")
    # SAELens counts blocks from 0; here layer 0 is the first block's input: block 4 is read as 4, or after it as 5.
    words = f"cfg.json names block {hook}, the config reads layer {wanted} of {name}"
    return Finding(key, "layer", *(("good", 0, 1, "") if wanted - int(hook) in (0, 1) else ("note", 1, 1, words)))
