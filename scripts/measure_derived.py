"""Measure the models planted beside each model, and those of known kind."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.cell_sets import CellSets
    from pertprobe.models.cards import read_card
    from pertprobe.probes.base import MeasureInputs
    from pertprobe.stages.measuring import measure_derived, measure_inputs, write_measurement
    from pertprobe.stages.planted import derived_models, with_known

    given, params = snakemake.input, snakemake.params
    contexts = tuple(CellSets.load(path) for path in given.contexts)
    planting = {name: params[name] for name in ("programs", "panels", "controls", "seed")}
    beside = {"contexts": contexts, "memory_gb": snakemake.config["memory_gb"]}
    own = {name: given[name] for name in ("names", "seen", "observed", "cells", "responses", "known") if given[name]}
    for i, output in enumerate(snakemake.output):
        files = {name: paths[i] for name, paths in own.items()} | {"programs": given.programs}
        card = read_card(files["names"])
        cells = CellSets.load(files["cells"]).for_genes(card["genes"])
        made = (card, cells, given.programs, files["observed"], contexts)
        planted = derived_models(*made, **planting) if params.controls["planted"] else {}
        models = with_known(planted, files.get("known"))
        inputs = MeasureInputs(None, cells, **measure_inputs(params.measurement, files, card), **beside)
        write_measurement(measure_derived(snakemake.wildcards.probe, inputs, models), output)
