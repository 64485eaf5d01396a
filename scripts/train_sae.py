"""Train a sparse autoencoder on the pooled activations of its models."""

from pertprobe.job import job

with job(snakemake):
    from pathlib import Path

    from pertprobe.evidence import write
    from pertprobe.measuring import cells_for
    from pertprobe.models import load_model
    from pertprobe.sae import quality, train_sae
    from pertprobe.sae.activations import sampled_activations
    from pertprobe.seeding import seed_of

    given, params, settings = snakemake.input, snakemake.params, snakemake.params.settings
    activations = {}
    for name, path, loading, cells in zip(settings["models"], given.models, params.loading, given.cells, strict=True):
        model, seed = load_model(path, **loading), seed_of(params.seed, "activations", name)
        sets = cells_for(model, cells)
        activations[name] = sampled_activations(model, sets, settings["layer"], settings["cells"], seed)
    sizes = {key: settings[key] for key in ("expansion", "k", "steps")}
    sae = train_sae(activations, seed=seed_of(params.seed, "sae", snakemake.wildcards.sae), **sizes)
    sae.save(Path(snakemake.output[0]).parent, metadata={key: settings[key] for key in ("models", "layer")})
    write(quality(sae, activations), snakemake.output[2])
