"""Read every given file and report all faults together."""

import json

from pertprobe.job import job

with job(snakemake):
    from pertprobe.checks import check_inputs
    from pertprobe.files import atomic

    found = check_inputs(snakemake.config) | {"config": snakemake.config}
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
