"""Train one small State Transition model, or fit one of known kind."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.models.known.training import train_known
    from pertprobe.models.state.train import train
    from pertprobe.roles import KNOWN

    entry, given = snakemake.params.entry, snakemake.input
    asked = {"regime": entry["regime"], "seed": snakemake.params.seed, "output": snakemake.output[0]}
    asked |= snakemake.params.cells | entry["train"]
    if entry["kind"] in KNOWN:
        train_known(given.cells, kind=entry["kind"], network=given.network or None, **asked)
    else:
        train(given.cells, **asked)
