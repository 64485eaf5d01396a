"""Look into model directories and a file of cells, and reconcile what they say of each other."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from pertprobe.data.agent_table import RECOGNISED
from pertprobe.data.cells import context_source, describe_cells, inspect_cells, read_cells
from pertprobe.data.h5ad import CellFile
from pertprobe.errors import PertprobeError, gathering, listed, raise_together, read_together
from pertprobe.models import load_model
from pertprobe.models.batch_labels import matched_labels
from pertprobe.models.by_agent import as_loaded
from pertprobe.models.cards import own_split
from pertprobe.models.split_file import read_split
from pertprobe.readers.apart import check_apart
from pertprobe.readers.texts import read_yaml
from pertprobe.workflow.proposal.columns import Columns, Wanted, found_columns, labels_of
from pertprobe.workflow.proposal.contexts import Trained, context_of, part, regime_of, short_names

if TYPE_CHECKING:
    from pertprobe.models.base import Model

MOST_SETS = 8
"""Cell sets of a context; fewer where it has fewer control cells."""


class Given(NamedTuple):
    """What a user gives."""

    models: Sequence[str]
    cells: Sequence[str]
    splits: Sequence[str] = ()
    contexts: Mapping[str, str] = {}
    """Name of a model -> the label of its context, where the user says so."""
    kind: str = "state"


class Found(NamedTuple):
    """A model, and where in the file its cells are."""

    path: str
    model: "Model"
    cells: dict[str, Any]
    """An entry of the config's `cells`."""
    regime: str
    split: str
    """File; empty without one."""
    perturbations: tuple[str, ...]
    """Those of the model that have cells in this context, its control left out."""
    notes: tuple[str, ...]

    @property
    def expression(self) -> pd.Series:
        """Mean of each gene that the model reads and predicts, in a set of control cells."""
        source = {**context_source(self.cells), "genes": self.model.genes}
        read = read_cells(self.cells["path"], set_size=self.cells["set_size"], n_sets=1, seed=0, **source)
        means = pd.Series(read.values.mean(axis=(0, 1)), read.genes)
        return means[means.index.isin(self.model.output_genes)]


def look_into(given: Given) -> dict[str, Found]:
    """Return name -> what was found of each model; raises `Faults` of everything that does not fit, together."""
    names = {name: path for path, name in short_names(given.models).items()}
    if unknown := sorted(set(given.contexts) - set(names)):
        raise PertprobeError(f"--context: no model is called {listed(unknown)} (found: {listed(names)})")
    models = read_together(names, lambda _, path: load_model(path, kind=given.kind, agents=RECOGNISED))
    files = read_together({path: path for path in given.cells}, lambda path, _: _Cells.of(path))
    faults, found = [], {}
    for name, model in models.items():
        with gathering(faults, f"{name}: "):
            found[name] = _fitted(name, names[name], model, given, list(files.values()))
    raise_together(faults)
    return found


class _Cells(NamedTuple):
    """What is read of a file once for all models."""

    path: str
    labels: Mapping[str, frozenset[str]]
    spaces: tuple[str, ...]

    @classmethod
    def of(cls, path: str) -> "_Cells":
        """Read the labels and the names of the matrices of an h5ad."""
        check_apart(path)
        with CellFile(path) as file:
            return cls(path, labels_of(file), tuple(file.spaces()))


def _fitted(name: str, path: str, model: "Model", given: Given, files: Sequence[_Cells]) -> Found:
    """Return where in the files a model's cells are."""
    split, words = _split_of(path, given.splits)
    trained = Trained(words, read_split(split) if split else None)
    fitting = _holding(model, files)
    labels = {label for file, columns in fitting for label in file.labels[columns.context]}
    inside = labels & set(model.card.get("cell_types") or ())
    context = given.contexts.get(name) or context_of(trained, inside or labels, name)
    file, columns = _file_of(context, fitting)
    entry = _entry(file.path, columns, context, model)
    entry |= _space(entry, model, file.spaces)
    held = describe_cells(file.path, **context_source({**entry, "agents": RECOGNISED}))
    notes = []
    if columns.batch and (unknown := sorted(set(held.batches) - set(matched_labels(held.batches, model.batches)))):
        entry["batch_column"] = None
        notes.append(f"batches of obs['{columns.batch}'] that {name} does not know ({listed(unknown)}): left out")
    entry["n_sets"] = max(1, min(MOST_SETS, held.n_controls // entry["set_size"]))
    own = tuple(sorted(set(held.perturbations) & set(model.perturbations) - {model.control}))
    if not own:
        notes.append(f"no perturbation of {name} has cells in {context}")
    return Found(path, model, entry, regime_of(trained, context), split, own, tuple(notes))


def _holding(model: "Model", files: Sequence[_Cells]) -> list[tuple[_Cells, Columns]]:
    """Return the files that hold a model's perturbations, with their columns; raises `Faults` where none does."""
    known = tuple(model.card.get("cell_types") or ())
    wanted, found, faults = Wanted(as_loaded(model).perturbations, model.control, known, model.batches), [], []
    for file in files:
        with gathering(faults, f"{file.path}: "):
            found.append((file, found_columns(file.labels, wanted)))
    if not found:
        raise_together(faults)
    return found


def _file_of(context: str, fitting: Sequence[tuple[_Cells, Columns]]) -> tuple[_Cells, Columns]:
    """Return the one file that has cells of a context; raises PertprobeError where none or several do."""
    having = [(file, columns) for file, columns in fitting if context in file.labels[columns.context]]
    if len(having) == 1:
        return having[0]
    files = listed(file.path for file, _ in having)
    labels = listed(sorted({label for file, columns in fitting for label in file.labels[columns.context]}))
    raise PertprobeError(
        f"cells of context '{context}' are in several files: {files}. Give one of them"
        if having
        else f"context '{context}' is in no file (found: {labels})"
    )


def _entry(path: str, columns: Columns, context: str, model: "Model") -> dict[str, Any]:
    return {
        "path": path,
        "context_column": columns.context,
        "context": context,
        "perturbation_column": columns.perturbation,
        "batch_column": columns.batch,
        "control": model.control,
        "normalisation": "log1p" if "gene_space" in model.capabilities else "none",
        "set_size": model.set_size or 64,
    }


def _split_of(path: str, splits: Sequence[str]) -> tuple[str, list[str]]:
    """Return the split file of a model, empty without one, and the names in which its training may be told.

    The file that the model was trained by is told in its config.yaml; one of its name may be given.
    """
    told = _told_split(Path(path))
    words = [Path(path).resolve().name, *([told.stem] if told else [])]
    if (own := own_split(path)) is not None:
        return str(own), words
    for split in splits:
        if any(part(Path(split).stem, word) for word in words):
            return split, words
    return "", words


def _told_split(directory: Path) -> Path | None:
    """Return the file that State's config.yaml says the model was trained by."""
    try:
        config = read_yaml(directory / "config.yaml", "config.yaml")
        return Path(str(config["data"]["kwargs"]["toml_config_path"]))
    except (PertprobeError, KeyError, TypeError):
        return None


def _space(entry: Mapping[str, Any], model: "Model", spaces: Sequence[str]) -> dict[str, Any]:
    """Return the matrix that holds all genes of a model on the scale it reads, and where their names are.

    The model's own key is tried first, then X, layers and obsm.
    """
    own = model.card.get("embed_key")
    tried: dict[str, str] = {}
    for space in sorted(spaces, key=lambda each: (each != own, each != "X")):
        for names in _names_of_genes(entry["path"], space, model.genes):
            source = context_source({**entry, "space": space, "genes": names})
            faults = inspect_cells(entry["path"], set_size=1, n_sets=1, **source, genes=model.genes)
            if not faults:
                return {"space": space, **({"genes": names} if names else {})}
            tried.setdefault(space, faults[0])
    raise_together([f"space {space}: {why}" for space, why in tried.items()])
    raise PertprobeError(_no_space(entry["path"], model))


def _names_of_genes(path: str, space: str, genes: Sequence[str]) -> Iterator[str | None]:
    """Yield the sources of names under which a matrix has all genes: None for the usual one, else a column of var."""
    with CellFile(path) as file:
        for source in (None, *(f"var:{name}" for name in file.columns("var"))):
            try:
                names, _ = file.gene_names(space, source)
            except PertprobeError:
                continue
            if set(genes) <= set(map(str, names)):
                yield source


def _no_space(path: str, model: "Model") -> str:
    """Return why no matrix will do: how many of the model's genes each has."""
    held = {}
    with CellFile(path) as file:
        for space in file.spaces():
            names, _ = file.gene_names(space)
            held[space] = len(set(model.genes) & set(map(str, names)))
    told = listed(f"{space}: {number}" for space, number in held.items())
    return f"no matrix of the file has all {len(model.genes)} genes of the model ({told}). Are these its cells?"
