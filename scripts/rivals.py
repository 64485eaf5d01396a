"""Fit what co-variation alone would answer to silenced genes, for every model of the run."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.cell_sets import CellSets
    from pertprobe.models.cards import read_card
    from pertprobe.stages.measuring import write_measurement
    from pertprobe.stages.rivals import rivals_of_run

    given, params = snakemake.input, snakemake.params
    outputs = dict(zip(params.models, snakemake.output, strict=True))
    cards = {name: read_card(path) for name, path in zip(params.models, given.names, strict=True)}
    cells = {name: CellSets.load(path) for name, path in zip(params.models, given.cells, strict=True)}
    for name, found in rivals_of_run(cards, cells, params.models, params.entries, params.seed):
        write_measurement(found, outputs[name])
