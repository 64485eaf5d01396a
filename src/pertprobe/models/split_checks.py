"""What a model was trained on, as its directory, its split and its cells each say it: where they disagree."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pertprobe.data.findings import Finding
from pertprobe.errors import PertprobeError, listed, meant, nearest
from pertprobe.models.split_file import read_split
from pertprobe.models.training_split import Split

if TYPE_CHECKING:
    from pertprobe.models.base import Model

MOSTLY = 0.5
"""Share of a split's names that must match for it to be the model's."""


def split_findings(
    key: str, model: "Model", split: Split | None, context: str, regime: str, cell_contexts: Collection[str]
) -> Iterator[Finding]:
    """Yield where the directory, the split and the cells name another training.

    Args:
        key: the model's, in the config.
        model: its card has the contexts of its directory (`cell_types`), where that names any.
        split: what its split file says; None where it has none.
        context: what its cells are called in their context column.
        regime: as the config says.
        cell_contexts: every context of the file of cells.
    """
    directory = [str(name) for name in model.card.get("cell_types") or ()]
    yield _context(key, context, directory)
    if split is None:
        yield Finding(key, "split", "uncheckable", 0, 0, "no split file says what the model was trained with")
        return
    yield _contexts_of_split(key, split, {*directory, *cell_contexts})
    yield _heldout_of_split(key, split, model)
    yield _held_out_here(key, split, context, regime)
    yield _regime(key, split, context, regime, directory)
    if several := split.by_dataset.get(context):
        words = f"the split has {context} in several data sets ({listed(several)}): held out is what each leaves out, "
        words += "or the one that the file of cells is named after"
        yield Finding(key, "data_sets", "note", len(several), len(several), words)


def _context(key: str, context: str, directory: list[str]) -> Finding:
    """Return whether the model's directory knows the context of its cells."""
    if not directory or context in directory:
        level = "good" if directory else "uncheckable"
        return Finding(
            key, "context_name", level, 0, len(directory), "" if directory else "the model names no contexts"
        )
    plain = {_plain(name): name for name in directory}
    if _plain(context) in plain:
        meant_by = plain[_plain(context)]
        words = f"its cells are of '{context}', its directory (cell_type_onehot_map) calls that '{meant_by}'. "
        return Finding(
            key, "context_name", "fault", 1, 1, words + f"Spell it '{meant_by}' in the file of cells as well"
        )
    words = f"its directory (cell_type_onehot_map: {listed(directory)}) does not know '{context}': nothing counts as "
    return Finding(key, "context_name", "note", 1, 1, f"{words}trained here.{meant(context, directory)}")


def _plain(name: str) -> str:
    """Return a name without capitals, spaces and signs."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _contexts_of_split(key: str, split: Split, known: Collection[str]) -> Finding:
    """Return whether contexts of the split are those of the model or the cells."""
    named = sorted(split.contexts())
    unknown = [name for name in named if name not in known]
    near = "".join(meant(name, known) for name in unknown[:5])
    words = (
        f"its split names contexts that neither its directory nor its cells have: {listed(unknown)} "
        f"(known: {listed(sorted(known))}).{near} Is it the split of another model?"
    )
    level = "good" if not unknown else "fault" if len(unknown) == len(named) else "note"
    return Finding(key, "split_contexts", level, len(unknown), len(named), words if unknown else "")


def _heldout_of_split(key: str, split: Split, model: "Model") -> Finding:
    """Return whether what the split holds out is known to the model."""
    named = {name for names in split.heldout.values() for name in names}
    named |= {name for sets in split.by_dataset.values() for each in sets.values() for part in each.heldout.values()
              for name in part}  # fmt: skip
    named |= {name for name, _ in split.rows or ()}
    unknown = sorted(named - {*model.perturbations})
    near = [f"'{found[0]}' for '{name}'" for name in unknown[:20] if (found := nearest(name, model.perturbations))]
    words = (
        f"{len(unknown)} of {len(named)} perturbations that its split names are none of the model's: "
        f"{listed(unknown, 5)}{f' (near: {listed(near, 3)})' if near else ''}. Is it the split of another model?"
    )
    level = "good" if not unknown else "fault" if len(unknown) > MOSTLY * len(named) else "note"
    return Finding(key, "split_names", level, len(unknown), len(named), words if unknown else "")


def _held_out_here(key: str, split: Split, context: str, regime: str) -> Finding:
    """Return whether a split says of a few-shot model what it was not shown of its context."""
    asked = regime == "fewshot" and split.rows is None and context not in split.by_dataset
    if not asked or split.heldout.get(context):
        return Finding(key, "split_holds_out", "good", 0, int(asked), "")
    words = f"its split holds out no perturbation of '{context}': all count as trained there. Is that context meant?"
    return Finding(key, "split_holds_out", "note", 1, 1, words)


def beside_own_split(key: str, path: Path | None, given: Split, context: str) -> Finding:
    """Return whether the split that a config gives holds out of a context what the model's directory itself says.

    `path`: the directory's own split; None where it has none.
    """
    good = Finding(key, "split_of_directory", "good", 0, 1, "")
    note = good._replace(level="note", n=1)
    if path is None:
        return good
    try:
        own = read_split(path)
    except PertprobeError as error:
        return note._replace(
            words=f"the split in its directory cannot be read, and the one that is given counts ({error})"
        )
    if not (apart := sorted(own.heldout.get(context, frozenset()) ^ given.heldout.get(context, frozenset()))):
        return good
    words = (
        f"its directory has a split of its own, which holds out others of '{context}' than the one that is given: "
        f"{listed(apart, 5)} of one alone. The one that is given counts. Is it the split of another model?"
    )
    return note._replace(words=words)


def regime_of(split: Split, context: str, directory: Collection[str]) -> str:
    """Return what a split says of a context: fewshot, zeroshot, or "" where a table does not name it."""
    if split.rows is not None:
        said = {trained for (_, where), trained in split.rows.items() if where == context}
        return "" if not said else "fewshot" if True in said else "zeroshot"
    return "zeroshot" if context in split.zeroshot or (directory and context not in directory) else "fewshot"


def _regime(key: str, split: Split, context: str, regime: str, directory: list[str]) -> Finding:
    said = regime_of(split, context, directory)
    if not said or said == regime:
        return Finding(key, "regime", "good" if said else "uncheckable", 0, 1, "")
    trained = "was trained on perturbed cells of" if said == "fewshot" else "saw no perturbed cells of"
    words = f"regime is '{regime}', but by its split the model {trained} '{context}': set regime to '{said}'"
    return Finding(key, "regime", "note" if regime == "unknown" else "fault", 1, 1, words)
