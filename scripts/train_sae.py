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

    params, settings = snakemake.params, snakemake.params.settings
    activations = {}
    for name, path in zip(settings["models"], snakemake.input.models, strict=True):
        model = load_model(path, **params.loading[name])
        cells = cells_for(model, snakemake.input.cells[params.contexts.index(params.context_of[name])])
        seed = seed_of(params.seed, "activations", name)
        activations[name] = sampled_activations(model, cells, settings["layer"], settings["cells"], seed)
    sizes = {key: settings[key] for key in ("expansion", "k", "steps")}
    sae = train_sae(activations, seed=seed_of(params.seed, "sae", snakemake.wildcards.sae), **sizes)
    sae.save(Path(snakemake.output[0]).parent, metadata={key: settings[key] for key in ("models", "layer")})
    write(quality(sae, activations), snakemake.output[2])
