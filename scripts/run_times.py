"""Gather what Snakemake measured of each job."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_table
    from pertprobe.workflow.provenance import run_times

    write_table(run_times(snakemake.params.logs), snakemake.output[0])
