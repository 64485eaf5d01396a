"""Record versions, hashes and seeds: they live here and nowhere else."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_json
    from pertprobe.workflow.provenance import provenance

    params, given = snakemake.params, snakemake.input
    cards = dict(zip(params.models, given.cards, strict=True))
    cells = dict(zip(params.contexts, given.cells, strict=True))
    record = provenance(given.checks, cards, cells, params.seed)
    write_json(record, snakemake.output[0])
