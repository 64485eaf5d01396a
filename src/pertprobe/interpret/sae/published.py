"""Folders in which libraries publish sparse autoencoders: SAELens, sparsify, dictionary_learning.

Each has a config beside its weights; here it becomes `forms.Settings`, and what that cannot say is refused by name.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from pertprobe.errors import PertprobeError, listed, raise_together
from pertprobe.interpret.sae.forms import Settings
from pertprobe.readers.texts import read_json

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
"""The files of a SAELens folder; sparsify's config has the same name."""
SCALER = "activation_scaler.json"
"""Where SAELens keeps the number that it multiplied activations with in training."""
ARCHITECTURES = {
    "standard": "relu_l1",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu",
}
"""SAELens' architectures -> the kind that they are once trained."""
DICTIONARIES = {
    "AutoEncoder": "relu_l1",
    "AutoEncoderNew": "relu_l1",
    "AutoEncoderTopK": "topk",
    "JumpReluAutoEncoder": "jumprelu",
    "GatedAutoEncoder": "gated",
    "BatchTopKSAE": "jumprelu",
    "MatryoshkaBatchTopKSAE": "jumprelu",
}
"""dictionary_learning's classes -> kinds."""
SUBTRACTED = {"AutoEncoderNew": False, "JumpReluAutoEncoder": False}
"""Those of its classes that encode the input as it is."""
EACH_ROW = "divides each activation by a norm of its own, which no weights can do"
"""Why some settings of SAELens have no plain form."""


class Published(NamedTuple):
    """A folder as one library writes it."""

    config: str
    weights: str
    settings: Callable[[Path, Mapping[str, Any], Mapping[str, Tensor]], Settings]
    """Given the folder, its config and its tensors, what they mean."""


def layout_of(folder: Path) -> Published:
    """Return the layout of a folder, by the names of its files.

    Raises:
        PertprobeError: it is no layout that is known; folders below it that are one are named.
    """
    for layout in LAYOUTS:
        if (folder / layout.config).is_file() and (folder / layout.weights).is_file():
            return layout
    known = "; ".join(f"{layout.config} and {layout.weights}" for layout in LAYOUTS)
    below = [each.parent.relative_to(folder) for layout in LAYOUTS for each in folder.glob(f"**/{layout.weights}")]
    inside = f" Give one of the folders in it: {listed(sorted(map(str, below)))}." if below else ""
    there = listed(sorted(each.name for each in folder.iterdir()))
    raise PertprobeError(f"sae: {folder} holds no autoencoder ({known}); found: {there}.{inside}")


def read_config(file: Path) -> dict[str, Any]:
    """Return a JSON config; raises PertprobeError for anything else."""
    config = read_json(file, f"sae: {file}")
    if not isinstance(config, dict):
        raise PertprobeError(f"sae: {file} holds a {type(config).__name__}, not settings by name.")
    return config


def saelens(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Settings:
    """Return what a SAELens config says; those before 6.0 name some things otherwise, or not at all."""
    file = folder / CONFIG
    architecture, activation, k = _architecture(config)
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise PertprobeError(
            f"sae: {file}: architecture {architecture!r} is not supported, only {', '.join(ARCHITECTURES)}. Convert "
            "the SAE to one of these, or train one here."
        )
    normalised = _normalised(config)
    scaled = "scaling_factor" in tensors or "finetuning_scaling_factor" in tensors
    said = bool(config.get("finetuning_scaling_factor"))
    # For a time SAELens wrote a factor of 1 with every autoencoder.
    idle = (
        "scaling_factor" in tensors and not said and bool((tensors["scaling_factor"].double() - 1).abs().max() < 1e-5)
    )
    faults = {
        f"activation_fn {activation!r} is not supported, only 'relu' and 'topk'": activation not in ("relu", "topk"),
        f"normalize_activations {normalised!r} {EACH_ROW}": normalised in ("constant_norm_rescale", "layer_norm"),
        f"reshape_activations {config.get('reshape_activations')!r} is for attention heads, which are not read": (
            config.get("reshape_activations", "none") not in (None, "none")
        ),
        "finetuning_scaling_factor is true, but there is no tensor scaling_factor": said and not scaled,
        "there is a tensor scaling_factor, but finetuning_scaling_factor is not true": scaled and not (said or idle),
        f"architecture is not said, but k is {k}: 'topk' has a k, 'standard' none": (
            not config.get("architecture") and architecture == "standard" and k is not None
        ),
    }
    raise_together([message for message, found in faults.items() if found], f"sae: {file}: ")
    _check_sizes(file, config, k if architecture == "topk" else None, architecture == "topk", tensors)
    return Settings(
        kind=ARCHITECTURES[architecture],
        k=k,
        applied=bool(config.get("apply_b_dec_to_input", True)),
        by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
        scaled=scaled and not idle,
        input_scale=_input_scale(folder) if normalised == "expected_average_only_in" else 1.0,
        unused=frozenset(["scaling_factor"] if idle else []),
    )


def _architecture(config: Mapping[str, Any]) -> tuple[Any, str, Any]:
    """Return architecture, activation and k; before 6.0 the first could be absent and the last elsewhere."""
    architecture = config.get("architecture") or "standard"
    activation = config.get("activation_fn_str") or config.get("activation_fn") or "relu"
    if architecture == "standard" and activation == "topk":
        return "topk", activation, (config.get("activation_fn_kwargs") or {}).get("k")
    return architecture, activation, config.get("k")


def _normalised(config: Mapping[str, Any]) -> str:
    """Return how activations are normalised; before 6.0 it could be true, false or null."""
    found = config.get("normalize_activations")
    if isinstance(found, bool):
        return "expected_average_only_in" if found else "none"
    return found or "none"


def _input_scale(folder: Path) -> float:
    """Return what activations were multiplied with in training, which SAELens leaves beside the weights or nowhere."""
    if not (folder / SCALER).is_file():
        raise PertprobeError(
            f"sae: {folder / CONFIG}: normalize_activations 'expected_average_only_in': activations were multiplied by "
            f"a number that is not in the folder ({SCALER}). Let SAELens fold it into the weights "
            "(fold_activation_norm_scaling_factor) and save them again."
        )
    factor = read_config(folder / SCALER).get("scaling_factor")
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor < float("inf"):
        raise PertprobeError(f"sae: {folder / SCALER}: scaling_factor is {factor!r}, a number above 0 is expected.")
    return float(factor)


def _check_sizes(file: Path, config: Mapping[str, Any], k: Any, needs_k: bool, tensors: Mapping[str, Tensor]) -> None:
    """Raise PertprobeError where sizes are none, or not those of the tensors."""
    sizes = {name: config.get(name) for name in ("d_in", "d_sae")} | ({"k": k} if needs_k else {})
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes.values())
    if not whole or (needs_k and k > sizes["d_sae"]):
        raise PertprobeError(
            f"sae: {file}: d_in, d_sae and k must be positive integers with k <= d_sae, found {sizes}."
        )
    shape = tuple(tensors["W_dec"].shape) if "W_dec" in tensors else None
    if shape not in (None, (sizes["d_sae"], sizes["d_in"])):
        said = f"{(sizes['d_sae'], sizes['d_in'])} expected"
        raise PertprobeError(f"sae: {file.parent / WEIGHTS} does not fit its {CONFIG}: W_dec is {shape}, {said}.")


def sparsify(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Settings:
    """Return what a config of EleutherAI's sparsify says: the k largest features, of them those above 0."""
    faults = {
        "transcode: it maps one place of a model to another, and is no autoencoder": config.get("transcode", False),
        "skip_connection: it adds a linear map of the input, which no features are": config.get("skip_connection"),
        f"activation {config.get('activation')!r} is not supported, only 'topk'": (
            config.get("activation", "topk") != "topk"
        ),
        "signed: it keeps features below 0, which are not supported": config.get("signed", False),
    }
    raise_together([message for message, found in faults.items() if found], f"sae: {folder / CONFIG}: ")
    return Settings(kind="topk", k=_whole(config.get("k")), applied=True)


def dictionary_learning(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Settings:
    """Return what a config of dictionary_learning says; its plain class is read with decoder rows of length 1."""
    file, trainer = folder / "config.json", _section(config, "trainer")
    said = trainer.get("dict_class")
    if said not in DICTIONARIES:
        raise PertprobeError(
            f"sae: {file}: trainer.dict_class {said!r} is not supported, only {', '.join(DICTIONARIES)}."
        )
    own = tensors.get("k")
    k, given = _whole(own.item() if own is not None and own.numel() == 1 else None), _whole(trainer.get("k"))
    if k is not None and given not in (None, k):
        raise PertprobeError(f"sae: {file}: k is {given}, but its tensor k is {k}.")
    if "BatchTopK" in said and "threshold" in tensors and bool((tensors["threshold"] < 0).any()):
        raise PertprobeError(
            f"sae: {file}: the threshold of {said} is below 0: training ended before it was measured, so which "
            "features are active is not known. Train it for longer, or train one here."
        )
    # TopK measures a threshold too, and keeps the k largest all the same.
    unused = {"AutoEncoderTopK": {"k", "threshold"}, "BatchTopKSAE": {"k"}}
    unused |= {"MatryoshkaBatchTopKSAE": {"k", "group_sizes"}}
    return Settings(
        kind=DICTIONARIES[said],
        k=given if k is None else k,
        applied=SUBTRACTED.get(said, True),
        by_decoder_norm=said == "AutoEncoder",
        unused=frozenset(unused.get(said, ())),
    )


def _whole(value: Any) -> int | None:
    """Return a whole number as it is, and None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


LAYOUTS = (
    Published(CONFIG, WEIGHTS, saelens),
    Published(CONFIG, "sae.safetensors", sparsify),
    Published("config.json", "ae.pt", dictionary_learning),
)


class TrainedOn(NamedTuple):
    """What a folder says its autoencoder was trained on."""

    layer: int | str | None = None
    """As the config of a run counts them; None where only the library's own words say it."""
    models: tuple[str, ...] = ()
    """Names of models of the run that wrote it."""
    words: str = ""
    """Model and place, as another library says them."""


def trained_on(path: str | Path) -> TrainedOn:
    """Return what a folder says its autoencoder was trained on; nothing of a file of tensors."""
    folder = Path(path)
    if not folder.is_dir():
        return TrainedOn()
    config = read_config(folder / layout_of(folder).config)
    said = {**config, **_section(config, "metadata"), **_section(config, "trainer")}
    if isinstance(said.get("models"), list):
        layer = said.get("layer")
        return TrainedOn(layer if layer == "middle" else _whole(layer), tuple(map(str, said["models"])))
    models = [said[key] for key in ("model_name", "lm_name") if said.get(key)]
    places = [said[key] for key in ("hook_name", "hook_point", "submodule_name", "layer") if said.get(key) is not None]
    return TrainedOn(words=" of ".join(map(str, [*places[:1], *models[:1]])))


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a config; empty where there is none."""
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}
