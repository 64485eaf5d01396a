"""Join verdicts into levels, and levels into readings."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.evidence import write
    from pertprobe.verdict import readings

    verdicts = pd.read_csv(snakemake.input[0], sep="\t", keep_default_na=False)
    write(readings(verdicts, snakemake.params.levels, snakemake.params.pairs), snakemake.output[0])
