"""Read every given file and report all faults together."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_json
    from pertprobe.workflow.checks import check_inputs

    found = check_inputs(snakemake.config) | {"config": snakemake.config}
    write_json(found, snakemake.output[0])
