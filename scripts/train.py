"""Train one small State Transition model."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.models.state.train import train

    entry, cells = snakemake.params.entry, snakemake.params.cells
    train(
        snakemake.input.cells,
        regime=entry["regime"],
        seed=snakemake.params.seed,
        output=snakemake.output[0],
        **cells,
        **entry["train"],
    )
