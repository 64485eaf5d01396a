"""Read and check one model, and say what it knows and which perturbations it has seen."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_json, write_table
    from pertprobe.models import load_model
    from pertprobe.models.cards import model_names, own_split, perturbation_table

    model = load_model(snakemake.input.model, **snakemake.params.loading)
    split = snakemake.input.get("split") or own_split(snakemake.input.model)
    table = perturbation_table(model, split, snakemake.params.entry["context"], snakemake.params.entry)
    write_table(table.reset_index(), snakemake.output.table)
    write_json(model_names(model), snakemake.output.names)
