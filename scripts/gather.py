"""Join the shards of one probe and model."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.measuring import gather, read_measurement, write_measurement

    write_measurement(gather([read_measurement(path) for path in snakemake.input]), snakemake.output[0])
