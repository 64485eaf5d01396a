"""Write one shard of the atlas of a model."""

from pertprobe.workflow.job import device, job

with job(snakemake):
    from pertprobe.data.cell_sets import cells_for
    from pertprobe.interpret.atlas import write_atlas
    from pertprobe.models import load_model

    given, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    model = load_model(given.model, **params.loading, device=device(snakemake.resources))
    part = {"shard": int(wildcards.shard), "shards": int(wildcards.shards), "memory_gb": snakemake.config["memory_gb"]}
    write_atlas(model, cells_for(model, given.cells), snakemake.output[0], **params.atlas, **part)
