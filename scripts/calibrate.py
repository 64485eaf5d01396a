"""Measure one part of the calibration."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.calibration import parts, table

    rows = parts.run(snakemake.wildcards.part, snakemake.params.sizes, snakemake.params.seed)
    table.write(rows, snakemake.output[0])
