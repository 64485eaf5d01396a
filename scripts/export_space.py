"""Export a perturbation x feature space for scanpy."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.stages.measuring import read_measurement, write_space

    write_space(read_measurement(snakemake.input[0]), snakemake.params.space, snakemake.output[0])
