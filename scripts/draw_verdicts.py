"""Draw the verdict matrix."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.plots import write_figure
    from pertprobe.report.verdict_matrix import verdict_matrix

    verdicts = pd.read_csv(snakemake.input[0], sep="\t", keep_default_na=False)
    write_figure(verdict_matrix(verdicts, snakemake.params.models, snakemake.params.levels), snakemake.output)
