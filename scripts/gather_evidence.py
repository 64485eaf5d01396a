"""Join the evidence of one probe and fill in q."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.probes import load_probe

    rows = pd.concat([evidence.read(path) for path in snakemake.input])
    primary = load_probe(snakemake.wildcards.probe).STATISTICS[0]
    evidence.write(evidence.with_q(evidence.frame(rows.to_dict("records")), primary), snakemake.output[0])
