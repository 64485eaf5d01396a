"""Measure one shard of a probe on one model."""

from pertprobe.workflow.job import device, job

with job(snakemake):
    from pathlib import Path

    from pertprobe.interpret.sae import read_components, read_saelens
    from pertprobe.stages.measuring import refused, write_measurement
    from pertprobe.stages.measuring_files import measure_files

    given, params, wanted = snakemake.input, snakemake.params, snakemake.wildcards
    hardware, part = device(snakemake.resources), (int(wanted.shard), int(wanted.shards))
    if params.given_up:
        found = refused(params.given_up)
    else:
        further = {
            "sae": read_saelens(Path(given.sae[0]).parent).to(hardware) if given.get("sae") else None,
            "pca": read_components(given.pca).to(hardware) if given.get("pca") else None,
            "memory_gb": snakemake.config["memory_gb"],
        }
        found = measure_files(wanted.probe, part, given, params, hardware, **further)
    write_measurement(found, snakemake.output[0])
