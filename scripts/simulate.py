"""Simulate cells with planted programs."""

from pathlib import Path

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.simulate import simulate, write_simulation

    simulation = simulate(**snakemake.params.settings, seed=snakemake.params.seed)
    write_simulation(simulation, Path(snakemake.output.cells).parent)
