"""Answer the run's question of every program and model."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.files import write_table
    from pertprobe.stages.answer import COLUMNS, answers

    given = zip(snakemake.input, snakemake.params.statistics, strict=True)
    tables = [answers(evidence.read(path), statistics, snakemake.params.limits) for path, statistics in given]
    write_table(pd.concat([pd.DataFrame(columns=COLUMNS), *tables]), snakemake.output[0])
