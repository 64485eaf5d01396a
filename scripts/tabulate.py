"""Make the further tables of one probe."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.stages.tables import read_table_inputs, write_empty_tables, write_tables

    params, paths = snakemake.params, list(snakemake.output)
    if params.given_up:
        write_empty_tables(params.columns, paths)
    else:
        write_tables(params.probe, read_table_inputs(snakemake.input, params), paths)
