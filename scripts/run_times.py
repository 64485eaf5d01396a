"""Gather what Snakemake measured of each job."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.evidence import write
    from pertprobe.provenance import run_times

    write(run_times(snakemake.params.benchmarks), snakemake.output[0])
