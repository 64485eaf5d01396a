"""Compare a model's responses with those observed in its context."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.cards import read_seen
    from pertprobe.evidence import write
    from pertprobe.measuring import read_measurement
    from pertprobe.probes.base import averaged
    from pertprobe.quality import quality_table

    given = snakemake.input
    predicted = averaged(read_measurement(given.measurement), "delta_y").to_pandas()
    table = quality_table(predicted, read_measurement(given.observed), seen=read_seen(given.seen))
    write(table, snakemake.output[0])
