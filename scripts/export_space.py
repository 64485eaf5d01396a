"""Export a perturbation x feature space for scanpy."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.probes.declaration import declared
    from pertprobe.stages.measuring import read_measurement, write_space

    space = declared(snakemake.params.probe).space
    write_space(read_measurement(snakemake.input[0]), space, snakemake.output[0])
