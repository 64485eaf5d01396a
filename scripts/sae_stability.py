"""Compare a sparse autoencoder with those trained on the same activations from other seeds."""

from pertprobe.workflow.job import job

with job(snakemake):
    from functools import partial
    from pathlib import Path

    from pertprobe.files import write_table
    from pertprobe.interpret.sae import read_saelens, train_sae, training_settings
    from pertprobe.interpret.sae.pool import pooled_activations, pooled_dictionaries, pooled_models, sae_seed
    from pertprobe.interpret.sae.stability import stability_tables
    from pertprobe.seeding import generator

    given, params, settings = snakemake.input, snakemake.params, snakemake.params.settings
    name, layer, n = snakemake.wildcards.sae, settings["layer"], settings["seeds"]
    pool = partial(pooled_models, settings["models"], given.models, params.loading, given.cells)
    trained = [read_saelens(Path(file).parent) for file in [given.sae, *given.further]]
    activations = pooled_activations(pool(), layer, settings["cells"], params.seed)
    fresh = partial(train_sae, activations, **{**training_settings(settings), "steps": 0})
    untrained = [fresh(seed=sae_seed(params.seed, name, number)) for number in range(n)]
    found = pooled_dictionaries(pool(), layer, [*trained, *untrained])
    summary, features = stability_tables(found[:n], found[n:], partial(generator, params.seed, "stability", name))
    write_table(summary, snakemake.output.stability)
    write_table(features, snakemake.output.features)
