"""Join the shards of one probe and model; one shard is the whole."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import copy

    if len(snakemake.input) == 1:
        copy(snakemake.input[0], snakemake.output[0])
    else:
        from pertprobe.stages.joining import join_shards

        join_shards(snakemake.input, snakemake.output[0])
