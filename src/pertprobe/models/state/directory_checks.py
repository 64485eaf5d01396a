"""Files of a State model directory that name the same thing: each fact compared where two files have it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pertprobe.data.findings import Finding
from pertprobe.errors import listed
from pertprobe.models.state.model import StateModel
from pertprobe.readers.saved import read_saved
from pertprobe.readers.texts import read_yaml

Said = Mapping[str, Any]
"""File -> what it says of one fact; files that do not say it are left out."""
SIZES = ("input_dim", "output_dim", "pert_dim", "batch_dim")


def directory_findings(key: str, directory: str | Path, model: StateModel) -> Iterator[Finding]:
    """Yield the facts in which files of the directory disagree, with what each says; `key` is the model's.

    `model` is what was read: the checkpoint and the maps. Raises PertprobeError where a file cannot be read.
    """
    root = Path(directory)
    dims, kwargs, module = _read(root / "var_dims.pkl"), _config(root), _read(root / "data_module.torch")
    a = model.architecture
    sizes = {name: {"var_dims.pkl": dims.get(name), "checkpoint": getattr(a, name)} for name in SIZES}
    if not a.batch_encoder:
        del sizes["batch_dim"]
    said = {
        **sizes,
        "control_pert": _where(config=kwargs.get("control_pert"), module=module.get("control_pert"), own=model.control),
        "embed_key": _where(config=kwargs.get("embed_key"), module=module.get("embed_key"), own=a.embed_key),
        "output_space": _where(
            config=kwargs.get("output_space"), module=module.get("output_space"), own=a.output_space
        ),
    }
    disagreeing = [
        f"{fact}: {_as_said(each)}" for fact, each in said.items() if len({*map(str, _stated(each).values())}) > 1
    ]
    disagreeing += [
        *_names("pert_names", dims.get("pert_names"), "pert_onehot_map", model.perturbations, ordered=False)
    ]
    if a.genes_in and not model.genes[0].startswith(f"{a.embed_key or 'X'}_"):  # positions, where State wrote no names
        disagreeing += [*_names("gene_names", dims.get("gene_names"), "checkpoint", model.genes, ordered=True)]
    if twice := sorted({name for name in model.genes if model.genes.count(name) > 1}):
        disagreeing.append(f"gene_names: {listed(twice, 5)} named twice, so that a column's gene is not told")
    words = f"files of its directory disagree: {'; '.join(disagreeing)}. Is it one model's directory?"
    facts = len(said) + 2
    yield Finding(
        key, "directory", "fault" if disagreeing else "good", len(disagreeing), facts, words if disagreeing else ""
    )


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


def _names(fact: str, ours: Sequence[Any] | None, file: str, theirs: Sequence[str], *, ordered: bool) -> Iterator[str]:
    """Yield the disagreement of two lists of one length, in what they name or in its order; others are other lists."""
    names = [str(name) for name in ours or ()]
    if len(names) != len(theirs) or (names == [*theirs] if ordered else {*names} == {*theirs}):
        return
    odd = [(one, other) for one, other in zip(names, theirs, strict=True) if one != other] if ordered else [
        (one, other) for one, other in zip(sorted({*names} - {*theirs}), sorted({*theirs} - {*names}), strict=False)
    ]  # fmt: skip
    one, other = odd[0] if odd else (names[0], theirs[0])
    yield f"{fact}: {len(odd)} names differ (var_dims.pkl has '{one}' where {file} has '{other}')"
