"""Measure the models planted beside a model."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.cards import read_card
    from pertprobe.cells import CellSets
    from pertprobe.derived import derived_models
    from pertprobe.measuring import asked_of, measure_derived, write_measurement
    from pertprobe.probes.base import MeasureInputs

    given, params = snakemake.input, snakemake.params
    card = read_card(given.names)
    cells = CellSets.load(given.cells).for_genes(card["genes"])
    asked = {name: params[name] for name in ("programs", "panels", "controls", "seed")}
    contexts = tuple(CellSets.load(path) for path in given.contexts)
    models = derived_models(card, cells, given.programs, given.observed, contexts, **asked)
    inputs = MeasureInputs(None, cells, contexts=contexts, **asked_of(params.asked, given, card))
    write_measurement(measure_derived(snakemake.wildcards.probe, inputs, models), snakemake.output[0])
