"""What a run knows of its models before it measures them: cards, and which perturbations each has seen."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import context_source, perturbed_labels
from pertprobe.models.names_in_cells import same_inputs
from pertprobe.models.split_file import read_split
from pertprobe.models.training_split import TrainingCells, seen_status, training_contexts

if TYPE_CHECKING:
    from pertprobe.models.base import Model


def model_card(
    name: str,
    models: Mapping[str, "Model"],
    entry: Mapping[str, Any],
    cells: str | Path,
    split: str | Path | None = None,
) -> dict[str, Any]:
    """Return the card of one model of the run: what it is, whether its genes fit the cells, whom it shares a seed with.

    `training_contexts` are those whose cells it was trained with, as far as it or its split file says; none where
    neither does. Raises PertprobeError where the model's genes are not all among those of the cell sets.
    """
    from pertprobe.models.by_agent import as_loaded
    from pertprobe.models.state.card import shared_initialisation
    from pertprobe.models.state.model import StateModel

    model, written = models[name], {key: as_loaded(each) for key, each in models.items()}
    fitting = CellSets.load(cells).for_genes(model.genes)
    related = {
        other: shared_initialisation(written[name], each)
        for other, each in written.items()
        if other != name and isinstance(written[name], StateModel) and isinstance(each, StateModel)
    }
    return {
        **model.card,
        **model_names(model),
        "name": name,
        "context": entry["context"],
        "regime": entry["regime"],
        "cells": fitting.hash,
        "shared_initialisation": related,
        "training_contexts": training_contexts(model.card, read_split(split) if split else None),
        "warnings": [*model.card.get("warnings", ()), *_warnings(model, entry)],
    }


def _warnings(model: "Model", entry: Mapping[str, Any]) -> list[str]:
    """Return what the reader of a model's results must know of its inputs."""
    shared, waived = sum(map(len, same_inputs(model))), entry.get("waive") or ()
    said = [f"{shared} perturbations share their feature vector with another: they count as one"] if shared else []
    return said + ([f"checks of its inputs that the config waives: {', '.join(waived)}"] if waived else [])


def model_names(model: "Model") -> dict[str, Any]:
    """Return what a model itself says: its names, set size and capabilities; nothing that other models change.

    `same_input` lists perturbations that share a feature vector, `activated` those that raise what they act on, where
    there are any.
    """
    from pertprobe.models.by_agent import activated

    names = {key: list(getattr(model, key)) for key in ("genes", "output_genes", "perturbations", "batches")}
    own = {"control": model.control, "set_size": model.set_size, "capabilities": sorted(model.capabilities)}
    shared, raised = same_inputs(model), activated(model)
    more = {"same_input": shared, "activated": raised}
    return {**names, **own, **{key: value for key, value in more.items() if value}}


def own_split(directory: str | Path) -> Path | None:
    """Return the split file that a model directory carries, as those trained here do; None where there is none."""
    path = Path(directory) / "split.toml"
    return path if path.is_file() else None


def perturbation_table(
    model: "Model", split: str | Path | None, context: str, entry: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return each perturbation's status (here, elsewhere, never, unknown) in a context, index `perturbation`.

    `context` is the label that the split file uses; without a split file everything is unknown. `entry` of the config
    says where its cells are: what has none in the context was not trained there; None asks the split alone.
    """
    from pertprobe.models.by_agent import ByAgent, as_loaded

    known, cells = read_split(split) if split else None, None
    if known is not None and entry is not None:
        cells = training_cells(entry, one_hot=has_one_hot_names(model))
    contexts, names = model.card.get("cell_types") or [context], sorted(as_loaded(model).perturbations)
    found = seen_status(known, names, context, contexts, control=model.control, cells=cells)
    if not isinstance(model, ByAgent):
        return found.to_frame()
    return _seen_by_agent({agent: model.every_label[agent] for agent in sorted(model.labels)}, found)


def _seen_by_agent(labels: Mapping[str, Sequence[str]], seen: pd.Series) -> pd.DataFrame:
    """Return the status of each agent, and its labels: it was never trained where none of them was, at any dose."""
    order = ("here", "elsewhere", "unknown", "never")
    rows = {agent: min((seen[label] for label in each), key=order.index) for agent, each in labels.items()}
    found = pd.DataFrame({"seen": pd.Series(rows, dtype=object), "labels": pd.Series(labels).map("; ".join)})
    return found.rename_axis("perturbation")


def training_cells(entry: Mapping[str, Any], *, one_hot: bool) -> TrainingCells:
    """Return which perturbations have cells in which contexts of the file of a `cells` entry."""
    labels = perturbed_labels(entry["path"], **context_source({**entry, "agents": None}))
    perturbed = labels[labels["perturbation"] != entry["control"]].drop_duplicates()
    return TrainingCells(
        entry["path"], frozenset(perturbed[["context", "perturbation"]].itertuples(False, None)), one_hot
    )


def has_one_hot_names(model: "Model") -> bool:
    """Return whether each perturbation has an input of its own, as far as the model shows what it reads them from."""
    features = getattr(model, "perturbation_features", None)
    if features is None:
        return True
    return bool(((features != 0).sum(dim=1) == 1).all() and (features.sum(dim=0) <= 1).all())


def read_cards(
    entries: Mapping[str, Mapping[str, Any]], cards: Sequence[str | Path], seen: Sequence[str | Path]
) -> dict[str, dict[str, Any]]:
    """Return what the evaluability table asks of each model: its card, context, regime and what it has seen."""
    found = {}
    for name, card, table in zip(entries, cards, seen, strict=True):
        content = read_card(card)
        content["perturbations"] = [each for each in content["perturbations"] if each != content["control"]]
        found[name] = {**content, **entries[name], "seen": read_seen(table).to_dict()}
    return found


def read_card(path: str | Path) -> dict[str, Any]:
    """Read a model's card, or its names alone."""
    return json.loads(Path(path).read_text())


def read_seen(path: str | Path) -> pd.Series:
    """Read perturbation -> status."""
    return pd.read_csv(path, sep="\t", index_col="perturbation", keep_default_na=False, dtype=str).seen


def known_gene_names(cards: Collection[Mapping[str, Any]]) -> list[str]:
    """Return every name that a pattern may match: perturbations and genes of the models."""
    keys = ("perturbations", "genes", "output_genes")
    return sorted({name for card in cards for key in keys for name in card[key]} - {card["control"] for card in cards})
