"""Draw how well a model predicts each perturbation."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.figures import write_figure
    from pertprobe.quality import read_quality
    from pertprobe.quality_figure import quality_figure

    write_figure(quality_figure(read_quality(snakemake.input[0])), snakemake.output)
