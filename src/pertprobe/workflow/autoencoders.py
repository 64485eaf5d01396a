"""Whether the sparse autoencoders of a config fit the models that they are trained on or read."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pertprobe.errors import PertprobeError, gathering, listed

if TYPE_CHECKING:
    from pertprobe.models.base import Model

TRAINED = ("topk", "relu_l1")
"""Kinds that a run trains; the others are read."""
Entries = Mapping[str, Mapping[str, Any]]


def untrainable(saes: Entries) -> Iterator[str]:
    """Yield the autoencoders that the run is to train and cannot."""
    for name, entry in saes.items():
        if "path" not in entry and entry.get("kind", "topk") not in TRAINED:
            yield (
                f"sae.{name}.kind: '{entry['kind']}' can be read, but is not trained here. Set it to "
                f"{' or '.join(TRAINED)}, or give the path of one trained elsewhere"
            )


def check_autoencoders(
    saes: Entries, given: Entries, models: Mapping[str, "Model"], faults: list[str]
) -> dict[str, list[str]]:
    """Read those that were trained elsewhere, and compare all with their models.

    Args:
        saes: every autoencoder of the config.
        given: those of them that are read.
        models: the models that could be loaded.
        faults: where faults are added.

    Returns:
        Model -> what is only worth knowing of an autoencoder that reads it.
    """
    able = {name: model for name, model in models.items() if "stages" in model.capabilities}
    faults += _unequal_widths({name: entry for name, entry in saes.items() if name not in given}, able)
    notes: dict[str, list[str]] = {}
    for name, entry in given.items():
        for model, note in _check_given(name, entry, able, faults):
            notes.setdefault(model, []).append(note)
    return notes


def _unequal_widths(saes: Entries, models: Mapping[str, "Model"]) -> Iterator[str]:
    """Yield the autoencoders that are to be trained on hidden states of several widths."""
    from pertprobe.interpret.sae.pool import width_of

    for name, entry in saes.items():
        widths = {model: width_of(models[model]) for model in entry["models"] if model in models}
        if len(set(widths.values())) > 1:
            said = listed(f"{model} {width}" for model, width in widths.items())
            yield (
                f"sae.{name}.models: their hidden states are of different widths ({said}), which one autoencoder "
                "cannot read. Give those of each width an autoencoder of their own"
            )


def _check_given(
    name: str, entry: Mapping[str, Any], models: Mapping[str, "Model"], faults: list[str]
) -> Iterator[tuple[str, str]]:
    """Add to `faults` what keeps an autoencoder from being read; yield (model, note)."""
    from pertprobe.interpret.sae import read_sae, sae_arguments
    from pertprobe.interpret.sae.pool import check_width
    from pertprobe.interpret.sae.published import trained_on

    sae, told = None, None
    with gathering(faults, f"sae.{name}.path: "):
        sae, told = read_sae(**sae_arguments(entry)), trained_on(entry["path"])
    if sae is None or told is None:
        return
    for model in entry["models"]:
        if model not in models:
            continue
        with gathering(faults):
            check_width(name, sae, model, models[model])
        layer = entry.get("layer", "middle")
        with gathering(faults, f"sae.{name}.layer: "):
            _check_layer(told.layer, layer, models[model], entry["path"])
        if told.models and model not in told.models:
            yield model, f"sae.{name} was trained on {listed(told.models)}, and reads this model all the same"
        if told.words:
            yield model, f"sae.{name} was trained on {told.words}, and reads layer {layer} of this model"


def _check_layer(told: int | str | None, layer: int | str, model: "Model", path: str) -> None:
    """Raise PertprobeError where an autoencoder says that it was trained on another layer than is read of a model."""
    from pertprobe.interpret.sae.activations import layer_number

    if told is not None and layer_number(model, told) != layer_number(model, layer):
        raise PertprobeError(f"{layer}, but {path} says that it was trained on layer {told}. Set it to that")
