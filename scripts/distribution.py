"""Say how far knock-outs take cells from control cells, and how far training cells are from probed ones."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.cards import own_split
    from pertprobe.cells import CellSets
    from pertprobe.distribution import drift_table, knockout_distances
    from pertprobe.evidence import write
    from pertprobe.measuring import cells_for
    from pertprobe.models import load_model
    from pertprobe.seen import read_split

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    model = load_model(given.model, **params.loading)
    contexts = [CellSets.load(path) for path in given.contexts]
    write(knockout_distances(model, cells_for(model, given.cells), contexts, params.knockout), output.knockouts)
    path = given.get("split") or own_split(given.model)
    write(
        drift_table(model, given.file, params.entry, read_split(path) if path else None, seed=params.seed), output.drift
    )
