"""Say where every perturbation stands on each pair of the panels."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.evidence import write
    from pertprobe.measuring import read_measurement
    from pertprobe.probes.panels import ranks

    write(ranks(read_measurement(snakemake.input[0]), snakemake.params.panels), snakemake.output[0])
