"""Write the report."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.report import write_report

    write_report(snakemake.input, snakemake.params, snakemake.output[0])
