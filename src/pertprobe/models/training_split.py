"""Which perturbations a model was trained with, and in which contexts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pertprobe.errors import PertprobeError, listed
from pertprobe.seeding import generator

Seen = Literal["here", "elsewhere", "never", "unknown"]
Regime = Literal["fewshot", "zeroshot"]


@dataclass(frozen=True)
class Split:
    """What a split file says about training: by rule (cell-load TOML) or by row (the user's table)."""

    zeroshot: frozenset[str] = frozenset()
    """Contexts left out of training altogether."""
    heldout: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Context -> perturbations left out of training there (validation and test)."""
    rows: Mapping[tuple[str, str], bool] | None = None
    """(perturbation, context) -> trained; None for a TOML, whose rules cover everything."""
    by_dataset: Mapping[str, Mapping[str, "Split"]] = field(default_factory=dict)
    """Context -> data set -> its rules, for contexts that several data sets have: `zeroshot` and `heldout` then hold
    what is left out of all of them."""
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Data set -> its path, as the file has it."""
    unnamed: bool = True
    """Whether contexts that the rules do not name were trained: those of data sets under [training]."""

    def trained(self, perturbation: str, context: str, dataset: str = "") -> bool | None:
        """Return whether the perturbation was trained in the context; None where the file does not say.

        Where several data sets have the context, `dataset` is asked alone; without one, what they all agree in.
        """
        if self.rows is not None:
            return self.rows.get((perturbation, context))
        several = self.by_dataset.get(context, {})
        if asked := [each for name, each in several.items() if dataset in ("", name)]:
            said = {each.trained(perturbation, context) for each in asked}
            return said.pop() if len(said) == 1 else None
        if not self.unnamed and context not in self.heldout:
            return False
        return context not in self.zeroshot and perturbation not in self.heldout.get(context, ())

    def in_another_set(self, perturbation: str, context: str, dataset: str) -> bool:
        """Return whether another data set that has the context was trained with the perturbation there."""
        others = (each for name, each in self.by_dataset.get(context, {}).items() if name != dataset)
        return bool(dataset) and any(each.trained(perturbation, context) for each in others)

    def dataset_of(self, cells: str | Path) -> str:
        """Return the data set that a file of cells is: the one of its name, or whose path names it; empty if none."""
        names = {Path(cells).stem.casefold(), Path(cells).parent.name.casefold()}
        named = [name for name, path in self.datasets.items() if {name.casefold(), Path(path).stem.casefold()} & names]
        return named[0] if len(named) == 1 else ""

    def contexts(self) -> set[str]:
        """Return every context that the file names."""
        rows = {context for _, context in self.rows or ()}
        return {*self.zeroshot, *self.heldout, *self.by_dataset} | rows


@dataclass(frozen=True)
class TrainingCells:
    """Which perturbations have cells in which contexts of a file, and how far that says what a model was trained on."""

    path: str
    pairs: frozenset[tuple[str, str]]
    """(context, perturbation) of every perturbed cell."""
    one_hot: bool = True
    """Whether the model's names are those of its training cells, one input each; names with features of their own may
    have been trained nowhere."""

    def measured(self, perturbation: str, context: str) -> bool | None:
        """Return whether the perturbation has cells in the context; None where the file does not tell.

        A file without perturbed cells of the context says nothing. Nor does one that has no cell of the perturbation in
        any context: it may hold a part of what was measured.
        """
        if context not in self.contexts:
            return True if self.one_hot else None
        if (context, perturbation) in self.pairs:
            return True
        return False if perturbation in self.perturbations else None

    @cached_property
    def contexts(self) -> frozenset[str]:
        """Contexts with perturbed cells."""
        return frozenset(context for context, _ in self.pairs)

    @cached_property
    def perturbations(self) -> frozenset[str]:
        """Perturbations with cells in any context."""
        return frozenset(perturbation for _, perturbation in self.pairs)


def seen_status(
    split: Split | None,
    perturbations: Iterable[str],
    context: str,
    all_contexts: Iterable[str],
    *,
    control: str | None = None,
    cells: "TrainingCells | None" = None,
) -> pd.Series:
    """Return for each perturbation whether it was trained "here", only "elsewhere", "never", or "unknown".

    What was not measured in a context was not trained there, whatever the rules of a split say; a table of the user's
    is taken at its word.

    Args:
        split: what the split file says; None makes everything unknown.
        perturbations: names; the control is left out.
        context: the context of the model entry ("here").
        all_contexts: every context of the training data; one that is not among them was not trained.
        control: the label of unperturbed cells.
        cells: what the run's cells say; None leaves the split's word alone.
    """
    names, trained_in = [name for name in perturbations if name != control], [*all_contexts]
    elsewhere = [other for other in trained_in if other != context]
    dataset = split.dataset_of(cells.path) if split and cells else ""

    def trained(name: str, where: str, of: str = "") -> bool | None:
        """Say whether the model saw cells of a perturbation in a context."""
        if split is None or split.rows is not None:
            return split and split.trained(name, where)
        said = where in trained_in and split.trained(name, where, of)
        return cells.measured(name, where) if said and cells else said

    def status(name: str) -> Seen:
        """Say where a perturbation was seen."""
        here, *others = trained(name, context, dataset), *(trained(name, where) for where in elsewhere)
        if split and split.in_another_set(name, context, dataset):
            others.append(True)
        if here:
            return "here"
        if here is None or True not in others:
            return "unknown" if None in (here, *others) else "never"
        return "elsewhere"

    index = pd.Index(names, name="perturbation")
    return pd.Series([status(name) for name in names], index=index, name="seen", dtype=object)


def training_contexts(card: Mapping[str, Any], split: Split | None) -> list[str]:
    """Return the contexts whose cells the model was trained with, sorted; none where nothing says so.

    A table names them row by row; otherwise they are the model's own cell types without the split's zero-shot contexts.
    """
    if split is not None and split.rows is not None:
        return sorted({context for (_, context), trained in split.rows.items() if trained})
    found = set(card.get("cell_types") or ()) - (split.zeroshot if split else frozenset())
    return sorted(found if split is None or split.unnamed else found & set(split.heldout))


def held_out(
    labels: pd.DataFrame, context: str, regime: Regime, *, share: float, control: str, seed: int
) -> tuple[str, ...]:
    """Return the perturbations of `context` that the model must not see there, sorted: a share (fewshot) or all.

    Raises:
        PertprobeError: the context has no cells.
    """
    inside = labels[labels["context"] == context]
    if inside.empty:
        raise PertprobeError(f"train: context '{context}' is not among {listed(sorted(set(labels['context'])))}")
    names = sorted(set(inside["perturbation"]) - {control, ""})
    if regime == "zeroshot":
        return tuple(names)
    return tuple(sorted(generator(seed, "heldout", context).choice(names, round(share * len(names)), replace=False)))


def split_toml(cells_path: Path, context: str, regime: Regime, heldout: Sequence[str]) -> str:
    """Return cell-load's description of what was trained, the file's stem being the dataset's name."""
    name = cells_path.stem
    lines = ["[datasets]", f"{json.dumps(name)} = {json.dumps(str(cells_path))}"]
    lines += ["", "[training]", f'{json.dumps(name)} = "train"', "", "[zeroshot]"]
    key = json.dumps(f"{name}.{context}")
    if regime == "zeroshot":
        return "\n".join([*lines, f'{key} = "test"', "", "[fewshot]", ""])
    return "\n".join([*lines, "", f"[fewshot.{key}]", "val = []", f"test = {json.dumps(list(heldout))}", ""])
