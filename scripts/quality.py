"""Compare a model's responses with those observed in its context."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe.cards import context_source
    from pertprobe.cells import observed_delta_y
    from pertprobe.evidence import write
    from pertprobe.measuring import read_measurement
    from pertprobe.probes.base import averaged
    from pertprobe.quality import quality_table

    predicted = averaged(read_measurement(snakemake.input.measurement), "delta_y").to_pandas()
    source = context_source(snakemake.params.entry)
    observed = observed_delta_y(snakemake.input.cells, genes=list(predicted.columns), **source)
    seen = pd.read_csv(snakemake.input.seen, sep="\t", index_col=0).seen
    write(quality_table(predicted, observed, seen=seen, n_cells=observed.attrs["n_cells"]), snakemake.output[0])
