"""Gather what Snakemake measured of each job."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.evidence import write
    from pertprobe.workflow.provenance import run_times

    write(run_times(snakemake.params.benchmarks), snakemake.output[0])
