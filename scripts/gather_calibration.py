"""Join the parts of the calibration, seeds pooled, into one table."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.calibration import table

    table.write(table.gathered(map(table.read, snakemake.input)), snakemake.output[0])
