"""The rivals of a run: fitted once to the cells that models share, and asked in the context of each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import context_source, sampled_cells
from pertprobe.models.rivals.answers import Known, Rivals, fit_rivals, rival_shifts
from pertprobe.probes.base import NOT_EVALUABLE

CONTROLS, EACH = 20_000, 200
"""Most control cells of each context, and most cells of each perturbation, that rivals learn from."""


def rivals_of_run(
    cards: Mapping[str, Mapping[str, Any]],
    cells: Mapping[str, CellSets],
    models: Mapping[str, str],
    entries: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield model -> what rivals answer in its cells to each of its perturbations that is an input gene.

    Args:
        cards: model -> its names: genes, perturbations, control, capabilities.
        cells: model -> control cells of its context.
        models: model -> context.
        entries: context -> its `cells` entry of the config.
        seed: of the run.
    """
    fitted: dict[Any, tuple[Known, Rivals]] = {}
    for name, context in models.items():
        card = cards[name]
        asked = sorted(set(card["perturbations"]) & set(card["genes"]) - {card["control"]})
        if "gene_space" not in card["capabilities"] or not asked:
            yield name, xr.Dataset(attrs={NOT_EVALUABLE: "no perturbation is an input gene of the model"})
            continue
        own = entries[context]
        key = tuple(card["genes"]), tuple(asked), *_file(own)
        if key not in fitted:
            shared = {each: entry for each, entry in entries.items() if _file(entry) == _file(own)}
            known = known_cells(shared, card["genes"], seed)
            fitted[key] = known, fit_rivals(known, asked, seed)
        known, rivals = fitted[key]
        values = cells[name].for_genes(card["genes"]).values.reshape(-1, len(card["genes"]))
        yield name, rival_shifts(rivals, known, values, own["context"])


def _file(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what entries have in common whose cells can be put together."""
    return tuple(
        entry.get(key) for key in ("path", "space", "genes", "normalisation", "perturbation_column", "control")
    )


def known_cells(entries: Mapping[str, Mapping[str, Any]], genes: Sequence[str], seed: int) -> Known:
    """Read the cells of several contexts that rivals learn from: a sample, where there are many."""
    limits = {"controls": CONTROLS, "each": EACH, "seed": seed, "genes": genes}
    read = {
        entry["context"]: sampled_cells(entry["path"], **limits, **context_source(entry)) for entry in entries.values()
    }
    contexts = np.concatenate([np.repeat(context, len(each.values)) for context, each in read.items()])
    values = np.concatenate([each.values for each in read.values()])
    perturbations = np.concatenate([each.perturbations for each in read.values()])
    return Known(values, perturbations, contexts, next(iter(entries.values()))["control"], tuple(genes))
