"""Export a perturbation x feature space for scanpy."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.measuring import read_measurement, write_space
    from pertprobe.probes import load_probe

    space = load_probe(snakemake.params.probe).SPACE
    write_space(read_measurement(snakemake.input[0]), space, snakemake.output[0])
