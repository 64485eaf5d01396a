"""Compare a model's responses with those observed in its context."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.files import write_table
    from pertprobe.models.cards import read_seen
    from pertprobe.probes.base import averaged
    from pertprobe.stages.measuring import read_measurement
    from pertprobe.stages.quality import quality_table

    given = snakemake.input
    predicted = averaged(read_measurement(given.measurement), "delta_y").to_pandas()
    table = quality_table(predicted, read_measurement(given.observed), seen=read_seen(given.seen))
    write_table(table, snakemake.output[0])
