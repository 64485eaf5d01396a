"""Describe one model beside the other models of the run."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_json
    from pertprobe.models import load_model
    from pertprobe.models.cards import model_card

    loading = snakemake.params.loading
    models = {
        name: load_model(path, **loading[name]) for name, path in zip(loading, snakemake.input.models, strict=True)
    }
    card = model_card(snakemake.wildcards.model, models, snakemake.params.entry, snakemake.input.cells)
    write_json(card, snakemake.output[0])
