"""Check again what changed since the gate; report all faults together."""

import json
from pathlib import Path

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.findings import census_table
    from pertprobe.files import write_json, write_table
    from pertprobe.workflow.checks import check_inputs

    gate, asked = Path(snakemake.input.gate), snakemake.params.config
    found = json.loads(gate.read_text())
    answered = found.pop("config")
    newer = [path for path in snakemake.input.files if Path(path).stat().st_mtime > gate.stat().st_mtime]
    if newer or {key: answered.get(key) for key in asked} != json.loads(json.dumps(asked)):
        found = check_inputs(snakemake.config)
    write_json(found, snakemake.output.checks)
    write_table(census_table(found["census"]), snakemake.output.census)
