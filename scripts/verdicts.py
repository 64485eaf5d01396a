"""Judge the evidence by the thresholds of the config."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.files import write_table
    from pertprobe.probes.declaration import all_declared
    from pertprobe.stages.left_out import with_left_out
    from pertprobe.stages.verdict import planted_truth, verdicts

    tables = pd.concat([evidence.read(path) for path in snakemake.input.evidence], ignore_index=True)
    thresholds = snakemake.params.thresholds
    probes = all_declared(tables.probe.unique())
    primary = {name: probe.primary for name, probe in probes.items()}
    controlled = {name: probe.compared_in for name, probe in probes.items()}
    common = [name for name, probe in probes.items() if probe.primary in probe.common_scale]
    copied = [name for name, probe in probes.items() if probe.asks_copies]
    more = {"controlled": controlled, "common": common, "with_copies": copied, "interest": snakemake.params.interest}
    table = verdicts(tables, thresholds, primary, planted_truth(snakemake.input.get("truth")), **more)
    write_table(with_left_out(table, snakemake.params.left_out), snakemake.output[0])
