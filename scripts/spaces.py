"""Write every space of the run for scanpy."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.stages.spaces import write_spaces

    write_spaces(snakemake.input, snakemake.params, list(snakemake.output))
