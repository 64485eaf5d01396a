"""Write the page on prediction quality, and on how far interventions leave the cells a model knows."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.report.quality_page import write_quality_page

    write_quality_page(snakemake.input, snakemake.params, snakemake.output[0])
