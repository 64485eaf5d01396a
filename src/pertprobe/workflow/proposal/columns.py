"""Which columns of a file hold what a model was trained on, found by their labels.

A model directory names columns as they were called where it was trained. What decides is which column of this file
holds the model's own labels; its names are a hint among columns that hold as many.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pertprobe.data.h5ad import CellFile
from pertprobe.errors import PertprobeError, listed, meant


class Columns(NamedTuple):
    """The columns of obs that a `cells` entry names."""

    perturbation: str
    context: str
    batch: str | None
    """None: the model knows no batches, or no column holds them."""


class Wanted(NamedTuple):
    """Labels that a model knows, of each kind."""

    perturbations: Collection[str]
    control: str
    contexts: Collection[str]
    """Empty: the model does not say."""
    batches: Collection[str]
    """Empty: it has none."""


USUAL = {
    "context": ("context", "cell_line", "cell_type", "cell_context", "celltype", "line"),
    "perturbation": ("perturbation", "gene", "target_gene", "condition", "guide"),
    "batch": ("batch", "gem_group", "sample", "plate"),
}
"""Names that columns often have; they decide between columns that hold the same labels."""

Labels = Mapping[str, frozenset[str]]
"""Column of obs -> its labels."""


def labels_of(file: CellFile) -> Labels:
    """Return the labels of every column of obs."""
    return {name: frozenset(map(str, file.labels("obs", name))) - {""} for name in file.columns("obs")}


def found_columns(labels: Labels, wanted: Wanted) -> Columns:
    """Return the columns that hold what a model knows; raises PertprobeError where its perturbations are in none."""
    perturbation = _holding(labels, set(wanted.perturbations) - {wanted.control}, "perturbation", wanted.control)
    if perturbation is None:
        raise PertprobeError(_no_perturbations(labels, wanted))
    if wanted.control not in labels[perturbation]:
        near = meant(wanted.control, labels[perturbation])
        raise PertprobeError(
            f"obs['{perturbation}'] holds the model's perturbations but not its control '{wanted.control}'.{near} "
            "Rename the control cells' label in the file"
        )
    others = {name: held for name, held in labels.items() if name != perturbation}
    context = _context(others, wanted)
    rest = {name: held for name, held in others.items() if name != context}
    return Columns(perturbation, context, _holding(rest, wanted.batches, "batch"))


def _holding(labels: Labels, wanted: Collection[str], kind: str, other: str = "") -> str | None:
    """Return the column that holds most of the wanted labels.

    Of several the one that holds the `other` label too, then the one with fewest labels, then that of a usual name.
    """
    held = {name: len(found & set(wanted)) for name, found in labels.items()}
    best = max(held.values(), default=0)
    most = [name for name, number in held.items() if number == best and number]
    return min(
        most, key=lambda name: (other not in labels[name], len(labels[name]), _unusual(name, kind)), default=None
    )


def _unusual(name: str, kind: str) -> int:
    usual = USUAL[kind]
    return usual.index(name) if name in usual else len(usual)


def _context(labels: Labels, wanted: Wanted) -> str:
    """Return the column of contexts: by the model's own, or where it names none by what such columns are called."""
    if (found := _holding(labels, wanted.contexts, "context")) is not None:
        return found
    named = [name for name in USUAL["context"] if name in labels]
    if wanted.contexts or not named:
        known = f"the model's contexts ({listed(sorted(wanted.contexts))})" if wanted.contexts else "a cell line"
        raise PertprobeError(f"no column of obs holds {known} (found: {listed(labels)}). Add one to the file")
    return named[0]


def _no_perturbations(labels: Labels, wanted: Wanted) -> str:
    """Return why no column will do, with the spelling that would."""
    lower = {name.lower() for name in wanted.perturbations}
    alike = {column: sum(label.lower() in lower for label in held) for column, held in labels.items()}
    best = max(alike, key=alike.__getitem__, default=None)
    told = f"no column of obs holds perturbations of the model ({listed(sorted(wanted.perturbations), 5)})"
    if best is None or not alike[best]:
        return f"{told}; found: {listed(labels)}. Are these the cells of this model?"
    return f"{told}, but {alike[best]} labels of obs['{best}'] do in other capitals. Spell them as the model does"
