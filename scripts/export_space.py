"""Export a perturbation x feature space for scanpy."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.measuring import read_measurement, write_space
    from pertprobe.probes.declaration import declared

    space = declared(snakemake.params.probe).space
    write_space(read_measurement(snakemake.input[0]), space, snakemake.output[0])
