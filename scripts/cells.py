"""Draw the cell sets of one context, which every later step uses."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.cells import context_source, read_cells

    entry = snakemake.params.entry
    sizes = {key: entry[key] for key in ("set_size", "n_sets")}
    cells = read_cells(entry["path"], **context_source(entry), **sizes, seed=snakemake.params.seed)
    cells.write(snakemake.output[0])
