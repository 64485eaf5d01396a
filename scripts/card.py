"""Describe and check one model, and say which perturbations it has seen."""

from pertprobe.job import job

with job(snakemake):
    import json

    from pertprobe.cards import model_card, own_split, perturbation_table
    from pertprobe.files import atomic
    from pertprobe.models import load_model

    name, loading = snakemake.wildcards.model, snakemake.params.loading
    models = {
        each: load_model(path, **loading[each]) for each, path in zip(loading, snakemake.input.models, strict=True)
    }
    card = model_card(name, models, snakemake.params.entry, snakemake.input.cells)
    split = snakemake.input.get("split") or own_split(snakemake.input.model)
    table = perturbation_table(models[name], split, snakemake.params.label)
    with atomic(snakemake.output.card) as temporary:
        temporary.write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
    with atomic(snakemake.output.perturbations) as temporary:
        table.to_csv(temporary, sep="\t")
