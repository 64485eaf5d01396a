"""Make the further tables of one probe."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.stages.tables import read_table_inputs, write_tables

    inputs = read_table_inputs(snakemake.input, snakemake.params)
    write_tables(snakemake.params.probe, inputs, list(snakemake.output))
