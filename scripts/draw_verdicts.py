"""Draw the verdict matrix."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.plots import write_figure
    from pertprobe.report.verdict_matrix import verdict_matrix
    from pertprobe.stages.verdict import read_verdicts

    verdicts = read_verdicts(snakemake.input[0])
    write_figure(verdict_matrix(verdicts, snakemake.params.models, snakemake.params.levels), snakemake.output)
