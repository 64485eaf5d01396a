"""Measure the models planted beside each model, and those of known kind."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.stages.measuring import refused, write_measurement
    from pertprobe.stages.measuring_files import derive_files

    params, probe, memory = snakemake.params, snakemake.wildcards.probe, snakemake.config["memory_gb"]
    for place, output in enumerate(snakemake.output):
        if params.given_up:
            found = refused(params.given_up)
        else:
            found = derive_files(probe, place, snakemake.input, params, memory)
        write_measurement(found, output)
