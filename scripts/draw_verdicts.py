"""Draw the verdict matrix."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.figures import verdict_matrix, write_figure

    verdicts = pd.read_csv(snakemake.input[0], sep="\t", keep_default_na=False)
    write_figure(verdict_matrix(verdicts, snakemake.params.models, snakemake.params.levels), snakemake.output)
