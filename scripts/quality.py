"""Compare a model's responses with those observed in its context."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe.cards import read_card, read_seen, response_source
    from pertprobe.cells import observed_delta_y
    from pertprobe.evidence import write
    from pertprobe.measuring import read_measurement
    from pertprobe.probes.base import averaged
    from pertprobe.quality import quality_table

    predicted = averaged(read_measurement(snakemake.input.measurement), "delta_y").to_pandas()
    source = response_source(read_card(snakemake.input.card), snakemake.params.entry)
    observed = observed_delta_y(snakemake.input.cells, genes=list(predicted.columns), **source)
    seen = read_seen(snakemake.input.seen)
    write(quality_table(predicted, observed, seen=seen, n_cells=observed.attrs["n_cells"]), snakemake.output[0])
