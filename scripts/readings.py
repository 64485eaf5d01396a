"""Join verdicts into levels, and levels into readings."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_table
    from pertprobe.stages.answer import read_answers
    from pertprobe.stages.verdict import read_verdicts, readings

    given, params = snakemake.input, snakemake.params
    verdicts = read_verdicts(given.verdicts)
    answers = read_answers(given.answers)
    write_table(readings(verdicts, params.levels, params.pairs, params.words, answers), snakemake.output[0])
