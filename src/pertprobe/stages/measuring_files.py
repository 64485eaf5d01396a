"""From the files of a job that measures to its measurement: the model, its cells, and what else the probe reads."""

from typing import Any

import xarray as xr

from pertprobe.data.cell_sets import CellSets, cells_for
from pertprobe.models.cards import model_names, read_card
from pertprobe.probes.base import MeasureInputs
from pertprobe.stages.measuring import measure_derived, measure_inputs, measure_shard
from pertprobe.stages.planted import derived_models, with_known


def measure_files(
    probe: str, part: tuple[int, int], files: Any, params: Any, hardware: str, **further: Any
) -> xr.Dataset:
    """Read a model and what a probe asks of it, and measure one shard.

    `part` is the shard and of how many; `files` is Snakemake's input with model, seen, cells, and contexts, observed,
    programs and responses where the probe reads them; `params` has loading, measurement and copies. `further` fields of
    `MeasureInputs` are an autoencoder and components: read elsewhere, so that most probes do not depend on how.
    """
    from pertprobe.models import load_model  # with torch: planted models start without it

    model = load_model(files.model, **params.loading, device=hardware)
    contexts = tuple(CellSets.load(path) for path in files.get("contexts", []))
    fields = measure_inputs(params.measurement, files, model_names(model))
    inputs = MeasureInputs(model, cells_for(model, files.cells), contexts=contexts, **fields, **further)
    return measure_shard(probe, inputs, *part, **params.copies)


def derive_files(probe: str, place: int, files: Any, params: Any, memory_gb: float) -> xr.Dataset:
    """Read what is known beside the model at a place, make the models that stand beside it, and measure them.

    `files` is Snakemake's input with contexts and programs, and names, seen, observed, cells and where they are read
    responses and known, one of each model; `params` has measurement, programs, panels, controls and seed.
    """
    contexts = tuple(CellSets.load(path) for path in files.contexts)
    planting = {name: params[name] for name in ("programs", "panels", "controls", "seed")}
    own = {name: files[name] for name in ("names", "seen", "observed", "cells", "responses", "known") if files[name]}
    mine = {name: paths[place] for name, paths in own.items()} | {"programs": files.programs}
    card = read_card(mine["names"])
    cells = CellSets.load(mine["cells"]).for_genes(card["genes"])
    made = (card, cells, files.programs, mine["observed"], contexts)
    planted = derived_models(*made, **planting) if params.controls["planted"] else {}
    models = with_known(planted, mine.get("known"))
    beside = {"contexts": contexts, "memory_gb": memory_gb}
    inputs = MeasureInputs(None, cells, **measure_inputs(params.measurement, mine, card), **beside)
    return measure_derived(probe, inputs, models)
