"""Join verdicts into levels, and levels into readings."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.files import write_table
    from pertprobe.stages.verdict import readings

    given, params = snakemake.input, snakemake.params
    verdicts = pd.read_csv(given.verdicts, sep="\t", keep_default_na=False)
    answers = pd.read_csv(given.answers, sep="\t", keep_default_na=False) if given.answers else None
    write_table(readings(verdicts, params.levels, params.pairs, params.words, answers), snakemake.output[0])
