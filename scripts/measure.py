"""Measure one shard of a probe on one model."""

from pertprobe.workflow.job import device, job

with job(snakemake):
    from pertprobe.stages.measuring import refused, write_measurement
    from pertprobe.stages.measuring_files import measure_files

    params, wanted, memory = snakemake.params, snakemake.wildcards, snakemake.config["memory_gb"]
    part = int(wanted.shard), int(wanted.shards)
    if params.given_up:
        found = refused(params.given_up)
    else:
        found = measure_files(wanted.probe, part, snakemake.input, params, device(snakemake.resources), memory)
    write_measurement(found, snakemake.output[0])
