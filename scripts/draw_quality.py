"""Draw how well a model predicts each perturbation."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.plots import use_style, write_figure
    from pertprobe.report.quality_figure import quality_figure
    from pertprobe.stages.quality import read_quality

    use_style(snakemake.input.style)
    write_figure(quality_figure(read_quality(snakemake.input.quality)), snakemake.output)
