"""Measure one shard of a probe on one model."""

from pertprobe.job import device, job

with job(snakemake):
    from pathlib import Path

    from pertprobe.cells import CellSets
    from pertprobe.measuring import cells_for, measure_shard, write_measurement
    from pertprobe.models import load_model
    from pertprobe.probes.base import MeasureInputs
    from pertprobe.sae import SparseAutoencoder

    given, params = snakemake.input, snakemake.params
    hardware = device(snakemake.resources)
    model = load_model(given.model, **params.loading, device=hardware)
    weights = given.get("sae")
    sae = SparseAutoencoder.load(Path(weights[0]).parent).to(hardware) if weights else None
    inputs = MeasureInputs(
        model=model,
        cells=cells_for(model, given.cells),
        settings=params.settings,
        panels=params.get("panels", {}),
        sae=sae,
        layer=params.get("layer", "middle"),
        contexts=tuple(CellSets.load(path) for path in given.get("contexts", [])),
    )
    shard, shards = int(snakemake.wildcards.shard), int(snakemake.wildcards.shards)
    write_measurement(measure_shard(params.probe, inputs, shard, shards), snakemake.output[0])
