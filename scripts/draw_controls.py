"""Draw each model beside its controls, and the cascade of re-drawn stages."""

from pertprobe.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.control_figures import Compared, cascade_figure, controls_figure
    from pertprobe.figures import write_figure
    from pertprobe.probes import load_probe

    tables = pd.concat([evidence.read(path) for path in snakemake.input], ignore_index=True)
    modules = {name: load_probe(name) for name in tables.probe.unique()}
    probes = {name: Compared(each.STATISTICS[0], each.CONTROLLED, each.CORRELATIONS) for name, each in modules.items()}
    models, output = snakemake.params.models, snakemake.output
    write_figure(controls_figure(tables, probes, models), output.controls)
    write_figure(cascade_figure(tables, probes, models), output.cascade)
