"""Join verdicts into levels, and levels into readings."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.files import write_table
    from pertprobe.stages.verdict import readings

    given, params = snakemake.input, snakemake.params
    verdicts, answers = (pd.read_csv(path, sep="\t", keep_default_na=False) for path in (given.verdicts, given.answers))
    write_table(readings(verdicts, params.levels, params.pairs, params.words, answers), snakemake.output[0])
