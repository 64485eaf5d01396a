"""Read every given file and report all faults together."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.checks import check_inputs
    from pertprobe.files import write_json

    found = check_inputs(snakemake.config) | {"config": snakemake.config}
    write_json(found, snakemake.output[0])
