"""Describe one model beside the other models of the run."""

from pertprobe.job import job

with job(snakemake):
    import json

    from pertprobe.cards import model_card
    from pertprobe.files import atomic
    from pertprobe.models import load_model

    loading = snakemake.params.loading
    models = {
        name: load_model(path, **loading[name]) for name, path in zip(loading, snakemake.input.models, strict=True)
    }
    card = model_card(snakemake.wildcards.model, models, snakemake.params.entry, snakemake.input.cells)
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
