"""Join verdicts into levels, and levels into readings."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.files import write_table
    from pertprobe.stages.verdict import readings

    verdicts = pd.read_csv(snakemake.input[0], sep="\t", keep_default_na=False)
    params = snakemake.params
    write_table(readings(verdicts, params.levels, params.pairs, params.words), snakemake.output[0])
