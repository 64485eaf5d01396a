"""Read every given file and report all faults together."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_json
    from pertprobe.identity import KnownFiles
    from pertprobe.workflow.checks import check_inputs
    from pertprobe.workflow.given_content import held_by_all

    config = snakemake.config
    given = held_by_all(config, KnownFiles().sha256)
    write_json(check_inputs(config) | {"given": given, "config": config}, snakemake.output[0])
