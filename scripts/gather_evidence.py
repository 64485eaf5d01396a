"""Join the evidence of one probe and fill in q."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.probes import load_probe

    rows = pd.concat([evidence.read(path) for path in snakemake.input])
    probe = load_probe(snakemake.wildcards.probe)
    table = evidence.with_q(evidence.frame(rows.to_dict("records")), probe.STATISTICS[0], probe.CONTROLLED)
    evidence.write(table, snakemake.output[0])
