"""Judge the evidence by the thresholds of the config."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.probes import load_probe
    from pertprobe.verdict import planted_truth, verdicts

    tables = pd.concat([evidence.read(path) for path in snakemake.input.evidence], ignore_index=True)
    thresholds = snakemake.params.thresholds
    primary = {probe: load_probe(probe).STATISTICS[0] for probe in tables.probe.unique()}
    truth = planted_truth(snakemake.input.get("truth"), snakemake.params.representation)
    evidence.write(verdicts(tables, thresholds, primary, truth), snakemake.output[0])
