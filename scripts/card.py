"""Describe one model beside the other models of the run."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_json
    from pertprobe.models import load_model
    from pertprobe.models.cards import model_card, own_split

    given, loading, name = snakemake.input, snakemake.params.loading, snakemake.wildcards.model
    paths = dict(zip(loading, given.models, strict=True))
    models = {each: load_model(path, **loading[each]) for each, path in paths.items()}
    split = given.get("split") or own_split(paths[name])
    card = model_card(name, models, snakemake.params.entry, given.cells, split)
    write_json(card, snakemake.output[0])
