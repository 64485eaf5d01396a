"""Say where every perturbation stands on each pair of the panels."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_table
    from pertprobe.probes.panels import ranks
    from pertprobe.stages.measuring import read_measurement

    write_table(ranks(read_measurement(snakemake.input[0]), snakemake.params.panels), snakemake.output[0])
