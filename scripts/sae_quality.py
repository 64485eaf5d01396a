"""Judge a sparse autoencoder on its models, and fit the principal components that explain as much."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pathlib import Path

    from pertprobe.files import write_table
    from pertprobe.interpret.sae import principal_components, quality, read_saelens, with_rival, write_components
    from pertprobe.interpret.sae.pool import pooled_activations, pooled_models

    given, params, settings = snakemake.input, snakemake.params, snakemake.params.settings
    pool = pooled_models(settings["models"], given.models, params.loading, given.cells)
    activations = pooled_activations(pool, settings["layer"], settings["cells"], params.seed)
    table = quality(read_saelens(Path(given.sae[0]).parent), activations)
    pca = principal_components(activations, unexplained=table.fvu.mean())
    write_components(pca, snakemake.output.pca)
    write_table(with_rival(table, pca, activations), snakemake.output.quality)
