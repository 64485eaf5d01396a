"""Measure one shard of a probe on one model."""

from pertprobe.workflow.job import device, job

with job(snakemake):
    from pathlib import Path

    from pertprobe.data.cell_sets import CellSets, cells_for
    from pertprobe.interpret.sae import read_components, read_saelens
    from pertprobe.models import load_model
    from pertprobe.models.cards import model_names
    from pertprobe.probes.base import MeasureInputs
    from pertprobe.stages.measuring import measure_inputs, measure_shard, write_measurement

    given, params, hardware = snakemake.input, snakemake.params, device(snakemake.resources)
    model = load_model(given.model, **params.loading, device=hardware)
    sae = read_saelens(Path(given.sae[0]).parent).to(hardware) if given.get("sae") else None
    pca = read_components(given.pca).to(hardware) if given.get("pca") else None
    contexts = tuple(CellSets.load(path) for path in given.get("contexts", []))
    fields = measure_inputs(params.measurement, given, model_names(model))
    fields |= {"sae": sae, "pca": pca, "contexts": contexts, "memory_gb": snakemake.config["memory_gb"]}
    inputs = MeasureInputs(model, cells_for(model, given.cells), **fields)
    wanted = snakemake.wildcards
    found = measure_shard(wanted.probe, inputs, int(wanted.shard), int(wanted.shards), **params.copies)
    write_measurement(found, snakemake.output[0])
