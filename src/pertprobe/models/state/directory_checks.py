"""Files of a State model directory that name the same thing: each fact compared where two files have it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pertprobe.data.cell_sets import repeated
from pertprobe.data.findings import Finding
from pertprobe.errors import listed
from pertprobe.models.state.architecture import StateArchitecture
from pertprobe.models.state.model import StateModel
from pertprobe.readers.saved import read_saved
from pertprobe.readers.texts import read_yaml

Said = Mapping[str, Any]
"""File -> what it says of one fact; files that do not say it are left out."""
SIZES = ("input_dim", "output_dim", "pert_dim", "batch_dim")


def directory_findings(key: str, directory: str | Path, model: StateModel) -> Iterator[Finding]:
    """Yield the facts in which files of the directory disagree, with what each says; `key` is the model's.

    Sizes, and names in another order, are faults: a number then stands for another gene or perturbation. Options that
    two files state in different ways, and names that only one has, are notes. `model` is what was read: the checkpoint
    and the maps. Raises PertprobeError where a file cannot be read.
    """
    root = Path(directory)
    dims, kwargs, module = _read(root / "var_dims.pkl"), _config(root), _read(root / "data_module.torch")
    a = model.architecture
    sizes = {name: {"var_dims.pkl": dims.get(name), "checkpoint": getattr(a, name)} for name in SIZES}
    if not a.batch_encoder:
        del sizes["batch_dim"]
    options = {
        "control_pert": _where(config=kwargs.get("control_pert"), module=module.get("control_pert"), own=model.control),
        "embed_key": _where(config=kwargs.get("embed_key"), module=module.get("embed_key"), own=a.embed_key),
        "output_space": _where(
            config=kwargs.get("output_space"), module=module.get("output_space"), own=a.output_space
        ),
    }
    wrong = [*_names("gene_names", dims.get("gene_names"), model.genes)] if _named(a, model) else []
    wrong += [*_names("pert_names", dims.get("pert_names"), _by_input(model))]
    wrong += [f"{fact}: {_as_said(each)}" for fact, each in sizes.items() if _differ(each)]
    if twice := _twice(model.genes):
        wrong.append(f"gene_names: {listed(twice, 5)} named twice, so that a column's gene is not told")
    odd = [f"{fact}: {_as_said(each)}" for fact, each in options.items() if _differ(each)]
    if twice := _twice(dims.get("gene_names")):
        odd.append(f"gene_names: var_dims.pkl names {listed(twice, 5)} more than once, and is not read for them")
    theirs = {str(name) for name in dims.get("pert_names") or ()}
    if others := sorted({*model.perturbations} ^ theirs if theirs else ()):
        odd.append(
            f"pert_names: {len(others)} names are in var_dims.pkl or in pert_onehot_map alone ({listed(others, 4)})"
        )
    words = f"files of its directory disagree: {'; '.join([*wrong, *odd])}. Is it one model's directory?"
    level, n = "fault" if wrong else "note" if odd else "good", len(wrong) + len(odd)
    yield Finding(key, "directory", level, n, len(sizes) + len(options) + 2, words if n else "")


def _named(a: StateArchitecture, model: StateModel) -> bool:
    """Return whether inputs have names: where State wrote none they are called by their position."""
    return a.genes_in and not model.genes[0].startswith(f"{a.embed_key or 'X'}_")


def _by_input(model: StateModel) -> list[str]:
    """Return the perturbations in the order of their inputs; none where these are features and no positions."""
    features = model.perturbation_features
    if features.shape[0] != features.shape[1] or not ((features != 0).sum(dim=1) == 1).all():
        return []
    return [model.perturbations[row] for row in features.argmax(dim=0).tolist()]


def _twice(names: Any) -> list[str]:
    """Return what a list names more than once, sorted; nothing of what is no list."""
    return repeated(np.array([*map(str, names)])) if isinstance(names, list | tuple | np.ndarray) else []


def _differ(said: Said) -> bool:
    return len({*map(str, _stated(said).values())}) > 1


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    found = read_saved(path)
    return found if isinstance(found, Mapping) else {}


def _config(root: Path) -> Mapping[str, Any]:
    config = read_yaml(root / "config.yaml", "config.yaml") if (root / "config.yaml").is_file() else {}
    return ((config or {}).get("data") or {}).get("kwargs") or {}


def _where(*, config: Any, module: Any, own: Any) -> Said:
    return {"config.yaml": config, "data_module.torch": module, "checkpoint": own}


def _stated(said: Said) -> Said:
    return {file: value for file, value in said.items() if value is not None}


def _as_said(said: Said) -> str:
    return ", ".join(f"{value} in {file}" for file, value in _stated(said).items())


def _names(fact: str, written: Sequence[Any] | None, read: Sequence[str]) -> Iterator[str]:
    """Yield where two lists name the same things in another order; lists of other things are not compared."""
    names = [] if written is None else [str(name) for name in written]
    if names == [*read] or {*names} != {*read}:
        return
    odd = [(one, other) for one, other in zip(names, read, strict=False) if one != other]
    if odd:
        one, other = odd[0]
        yield f"{fact}: {len(odd)} names stand elsewhere (var_dims.pkl has '{one}' where the model reads '{other}')"
