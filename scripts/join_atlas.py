"""Join the shards of the atlas of a model."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.interpret.atlas import join_atlases

    join_atlases(list(snakemake.input), snakemake.output[0])
