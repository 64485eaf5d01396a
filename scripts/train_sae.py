"""Train a sparse autoencoder on the pooled activations of its models."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pathlib import Path

    from pertprobe.interpret.sae import train_sae, training_settings, write_saelens
    from pertprobe.interpret.sae.pool import pooled_activations, pooled_models, sae_seed

    given, params, settings = snakemake.input, snakemake.params, snakemake.params.settings
    pool = pooled_models(settings["models"], given.models, params.loading, given.cells)
    activations = pooled_activations(pool, settings["layer"], settings["cells"], params.seed)
    seed = sae_seed(params.seed, snakemake.wildcards.sae, int(snakemake.wildcards.get("number", 0)))
    sae = train_sae(activations, seed=seed, **training_settings(settings))
    write_saelens(sae, Path(snakemake.output[0]).parent, metadata={key: settings[key] for key in ("models", "layer")})
