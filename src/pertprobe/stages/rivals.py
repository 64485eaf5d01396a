"""The rivals of a run, and models of known kind: fitted once to the cells that models share, for each of them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from pertprobe.data.cell_sets import CellSets
from pertprobe.data.cells import context_source, sampled_cells
from pertprobe.data.regulons import Regulons
from pertprobe.models.known.fitting import known_models, observed_table
from pertprobe.models.known.model import KnownModel
from pertprobe.models.rivals.answers import Known, Rivals, fit_rivals, rival_shifts
from pertprobe.probes.base import NOT_EVALUABLE
from pertprobe.probes.silenced_genes import OBSERVED_LEVEL, genes_of
from pertprobe.stages.measuring import refused

FIDELITY, KNOCKOUT = "intervention_fidelity", "knockout"
"""The probes that are tested with rivals."""
CONTROLS, EACH = 20_000, 200
"""Most control cells of each context, and most cells of each perturbation, that rivals learn from."""


class Fitted(NamedTuple):
    """What was fitted for one model of the run."""

    answers: xr.Dataset
    """What rivals answer in its cells to each of its perturbations that is an input gene."""
    known: Mapping[str, KnownModel]
    """Kind -> the model of that kind with its genes and perturbations; none where rivals have no answer."""


def rivals_of_run(
    cards: Mapping[str, Mapping[str, Any]],
    cells: Mapping[str, CellSets],
    observed: Mapping[str, xr.Dataset],
    models: Mapping[str, str],
    entries: Mapping[str, Mapping[str, Any]],
    network: Regulons | None,
    kinds: Collection[str],
    silenced: Mapping[str, Mapping[str, Any]],
    contexts: Sequence[CellSets],
    seed: int,
) -> Iterator[tuple[str, Fitted]]:
    """Yield model -> what was fitted for it.

    Args:
        cards: model -> its names: genes, perturbations, control, capabilities.
        cells: model -> control cells of its context.
        observed: model -> what was observed in its context (`data/observed.py`).
        models: model -> context.
        entries: context -> its `cells` entry of the config.
        network: that the run names; None: it names none.
        kinds: models of known kind that are wanted; those of models that share all this are the same.
        silenced: probe -> its settings genes and value, of those that are tested with rivals, which are asked the same.
        contexts: control cells of every context, by which the probe knockout chooses its genes.
        seed: of the run.
    """
    learnt: dict[Any, tuple[Known, Rivals]] = {}
    beside: dict[Any, dict[str, KnownModel]] = {}
    for name, context in models.items():
        card, own = cards[name], entries[context]
        asked = sorted(set(card["perturbations"]) & set(card["genes"]) - {card["control"]})
        if "gene_space" not in card["capabilities"] or not asked:
            yield name, Fitted(refused("no perturbation is an input gene of the model"), {})
            continue
        further = sorted(set(_knocked(silenced, card["genes"], contexts)) - set(asked))
        key = tuple(card["genes"]), tuple(asked), tuple(further), *_file(own)
        if key not in learnt:
            shared = {each: entry for each, entry in entries.items() if _file(entry) == _file(own)}
            found = known_cells(shared, card["genes"], seed)
            learnt[key] = found, fit_rivals(found, asked, seed, further)
        values = cells[name].for_genes(card["genes"]).values.reshape(-1, len(card["genes"]))
        answering = partial(rival_shifts, learnt[key][1], learnt[key][0], values, own["context"])
        answers = _answers(answering, asked, _knocked(silenced, card["genes"], contexts), observed[name], silenced)
        responses = observed[name]["delta_y"].to_pandas()
        alike = *key, own["context"], tuple(card["perturbations"]), card["set_size"]
        if alike not in beside:
            beside[alike] = _of_known_kind(learnt[key][0], own["context"], card, responses, network, kinds, seed)
        yield name, Fitted(answers, beside[alike])


def _knocked(
    silenced: Mapping[str, Mapping[str, Any]], genes: Sequence[str], contexts: Sequence[CellSets]
) -> list[str]:
    """Return the genes that the probe knockout chooses; none where it is not asked, or sets them to their mean."""
    asked = silenced.get(KNOCKOUT, {"value": "mean"})
    return [] if asked["value"] == "mean" else genes_of(asked["genes"], genes, contexts)


def _answers(
    answering: Callable[..., xr.Dataset],
    asked: Sequence[str],
    knocked: Sequence[str],
    observed: xr.Dataset,
    silenced: Mapping[str, Mapping[str, Any]],
) -> xr.Dataset:
    """Return what rivals answer to knocked down genes, and beside it (`knockout`) to those of the probe knockout."""

    def of(probe: str, genes: Sequence[str]) -> xr.Dataset:
        """Answer to genes that are silenced to what a probe asks for; those without an observed level are not asked."""
        if silenced.get(probe, {}).get("value") != OBSERVED_LEVEL:
            return answering(names=genes)
        left = observed["left"].to_series().reindex(genes)
        found = answering(names=genes, left=left.fillna(0).to_numpy())
        return found.sel(perturbation=left.notna().to_numpy())

    answers = of(FIDELITY, asked)
    if not knocked:
        return answers.assign_attrs({NOT_EVALUABLE: "knockout sets no gene to zero or to an observed level"})
    return answers.assign(knockout=of(KNOCKOUT, knocked)["shift"].rename(perturbation="silenced"))


def _of_known_kind(
    learnt: Known,
    context: str,
    card: Mapping[str, Any],
    observed: pd.DataFrame,
    network: Regulons | None,
    kinds: Collection[str],
    seed: int,
) -> dict[str, KnownModel]:
    """Return the models of known kind that stand beside one model."""
    controls = learnt.values[learnt.controls & (learnt.contexts == context)]
    table, names = observed_table(observed, card), {each: card[each] for each in ("control", "set_size")}
    return known_models(controls, table, network, context=context, seed=seed, kinds=kinds, **names)


def _file(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what entries have in common whose cells can be put together."""
    keys = ("path", "space", "genes", "normalisation", "perturbation_column", "control")
    return (*(entry.get(key) for key in keys), *(str(entry.get(key)) for key in ("further_controls", "within")))


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
