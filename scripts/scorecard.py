"""Say what each model holds at each level."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe import evidence
    from pertprobe.files import write_table
    from pertprobe.stages.answer import read_answers
    from pertprobe.stages.scorecard import scorecard

    given, params = snakemake.input, snakemake.params
    tables = {probe: evidence.read(path) for probe, path in zip(params.probes, given.evidence, strict=True)}
    answers = read_answers(given.answers)
    found = scorecard(tables, answers, params.levels, params.primary, params.answering, params.seed)
    write_table(found, snakemake.output[0])
