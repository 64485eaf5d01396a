"""Write the page on input sensitivity."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.report.sensitivity_page import write_sensitivity_page

    write_sensitivity_page(snakemake.input, snakemake.params, snakemake.output[0])
