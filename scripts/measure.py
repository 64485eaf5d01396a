"""Measure one shard of a probe on one model."""

from pertprobe.job import device, job

with job(snakemake):
    from pathlib import Path

    from pertprobe.cards import model_names
    from pertprobe.cells import CellSets
    from pertprobe.measuring import asked_of, cells_for, measure_shard, write_measurement
    from pertprobe.models import load_model
    from pertprobe.probes.base import MeasureInputs
    from pertprobe.sae import read_components, read_saelens

    given, params = snakemake.input, snakemake.params
    hardware = device(snakemake.resources)
    model = load_model(given.model, **params.loading, device=hardware)
    sae = read_saelens(Path(given.sae[0]).parent).to(hardware) if given.get("sae") else None
    pca = read_components(given.pca).to(hardware) if given.get("pca") else None
    contexts = tuple(CellSets.load(path) for path in given.get("contexts", []))
    asked = asked_of(params.asked, given, model_names(model))
    memory = {"memory_gb": snakemake.config["memory_gb"]}
    inputs = MeasureInputs(model, cells_for(model, given.cells), sae=sae, pca=pca, contexts=contexts, **asked, **memory)
    shard, shards = int(snakemake.wildcards.shard), int(snakemake.wildcards.shards)
    write_measurement(measure_shard(params.probe, inputs, shard, shards, **params.copies), snakemake.output[0])
