"""Join the shards of one probe and model; one shard is the whole."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.files import copy

    if len(snakemake.input) == 1:
        copy(snakemake.input[0], snakemake.output[0])
    else:
        from pertprobe.measuring import gather, read_measurement, write_measurement

        write_measurement(gather([read_measurement(path) for path in snakemake.input]), snakemake.output[0])
