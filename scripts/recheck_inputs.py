"""Check again what changed since the gate; report all faults together."""

import json
from pathlib import Path

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.findings import census_table
    from pertprobe.files import write_json, write_table
    from pertprobe.workflow.checks import check_inputs

    asked, given = snakemake.params.config, snakemake.params.given
    found = json.loads(Path(snakemake.input.gate).read_text())
    answered = found.pop("config")
    if found.get("given") != given or {key: answered.get(key) for key in asked} != json.loads(json.dumps(asked)):
        found = check_inputs(snakemake.config) | {"given": given}
    write_json(found, snakemake.output.checks)
    write_table(census_table(found["census"]), snakemake.output.census)
