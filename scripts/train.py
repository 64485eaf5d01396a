"""Train one small State Transition model."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.models.state.train import train

    entry, cells = snakemake.params.entry, snakemake.params.cells
    columns = ("context_column", "perturbation_column", "batch_column", "control", "space")
    train(
        snakemake.input.cells,
        context=cells["context"],
        regime=entry["regime"],
        set_size=cells["set_size"],
        seed=snakemake.params.seed,
        output=snakemake.output[0],
        **{name: cells[name] for name in columns},
        **entry["train"],
    )
