"""Bring a sparse autoencoder trained elsewhere into the run, if it fits the models it is to read."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pathlib import Path

    from pertprobe.interpret.sae import read_sae, sae_arguments, write_saelens
    from pertprobe.interpret.sae.pool import check_width
    from pertprobe.models import load_model

    given, settings, name = snakemake.input, snakemake.params.settings, snakemake.wildcards.sae
    sae = read_sae(**sae_arguments(settings))
    for model, directory, how in zip(settings["models"], given.models, snakemake.params.loading, strict=True):
        check_width(name, sae, model, load_model(directory, **how))
    told = {key: settings[key] for key in ("models", "layer", "path")}
    write_saelens(sae, Path(snakemake.output[0]).parent, metadata=told)
