"""Gather what was observed in a model's context: delta_y, whole and in halves, and co-expression of control cells."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.observed import observe
    from pertprobe.models.cards import read_card
    from pertprobe.stages.measuring import write_measurement

    given, params = snakemake.input, snakemake.params
    write_measurement(observe(given.cells, read_card(given.names), params.entry, seed=params.seed), snakemake.output[0])
