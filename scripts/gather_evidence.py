"""Join the evidence of one probe and fill in q."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.probes.declaration import declared

    rows = pd.concat([evidence.read(path) for path in snakemake.input])
    probe = declared(snakemake.wildcards.probe)
    table = evidence.with_q(evidence.frame(rows.to_dict("records")), probe.primary, probe.compared_in)
    evidence.write(table, snakemake.output[0])
