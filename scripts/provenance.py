"""Record versions, hashes and seeds: they live here and nowhere else."""

from pertprobe.job import job

with job(snakemake):
    import json

    from pertprobe.files import atomic
    from pertprobe.provenance import provenance

    params, given = snakemake.params, snakemake.input
    cards = dict(zip(params.models, given.cards, strict=True))
    cells = dict(zip(params.contexts, given.cells, strict=True))
    record = provenance(given.checks, cards, cells, params.seed)
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
