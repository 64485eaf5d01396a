"""Draw the cell sets of one context, which every later step uses."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.cells import read_cells
    from pertprobe.workflow.checks import cells_arguments

    cells = read_cells(**cells_arguments(snakemake.params.entry), seed=snakemake.params.seed)
    cells.write(snakemake.output[0])
