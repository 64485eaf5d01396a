"""Say how far knock-outs take cells from control cells, and how far training cells are from probed ones."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.cell_sets import CellSets, cells_for
    from pertprobe.files import write_table
    from pertprobe.models import load_model
    from pertprobe.models.cards import own_split
    from pertprobe.models.split_file import read_split
    from pertprobe.stages.distribution import drift_table, knockout_distances

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    model = load_model(given.model, **params.loading)
    contexts = [CellSets.load(path) for path in given.contexts]
    write_table(knockout_distances(model, cells_for(model, given.cells), contexts, params.knockout), output.knockouts)
    path = given.get("split") or own_split(given.model)
    write_table(
        drift_table(model, given.file, params.entry, read_split(path) if path else None, seed=params.seed), output.drift
    )
