"""Judge the evidence by the thresholds of the config."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.probes import load_probe
    from pertprobe.verdict import planted_truth, verdicts

    tables = pd.concat([evidence.read(path) for path in snakemake.input.evidence], ignore_index=True)
    thresholds = snakemake.params.thresholds
    probes = {name: load_probe(name) for name in tables.probe.unique()}
    primary = {name: probe.STATISTICS[0] for name, probe in probes.items()}
    controlled = {name: probe.CONTROLLED for name, probe in probes.items()}
    truth = planted_truth(snakemake.input.get("truth"))
    table = verdicts(tables, thresholds, primary, truth, controlled=controlled, interest=snakemake.params.interest)
    evidence.write(table, snakemake.output[0])
