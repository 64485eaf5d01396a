"""Draw how well a model predicts each perturbation."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.plots import write_figure
    from pertprobe.report.quality_figure import quality_figure
    from pertprobe.stages.quality import read_quality

    write_figure(quality_figure(read_quality(snakemake.input[0])), snakemake.output)
