"""Join verdicts into levels, and levels into readings."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.files import write_table
    from pertprobe.stages.answer import read_answers
    from pertprobe.stages.verdict import readings

    given, params = snakemake.input, snakemake.params
    verdicts = pd.read_csv(given.verdicts, sep="\t", keep_default_na=False)
    answers = read_answers(given.answers)
    write_table(readings(verdicts, params.levels, params.pairs, params.words, answers), snakemake.output[0])
