"""Draw the verdict matrix."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.plots import use_style, write_figure
    from pertprobe.report.verdict_matrix import verdict_matrix
    from pertprobe.stages.verdict import read_verdicts

    use_style(snakemake.input.style)
    verdicts = read_verdicts(snakemake.input.verdicts)
    write_figure(verdict_matrix(verdicts, snakemake.params.models, snakemake.params.levels), snakemake.output)
