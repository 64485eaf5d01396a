"""Draw each model beside its controls, and the cascade of re-drawn stages."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.plots import use_style, write_figure
    from pertprobe.probes.declaration import all_declared
    from pertprobe.report.controls_figure import cascade_figure, controls_figure

    use_style(snakemake.input.style)
    tables = pd.concat([evidence.read(path) for path in snakemake.input.evidence], ignore_index=True)
    probes = all_declared(tables.probe.unique())
    models, output = snakemake.params.models, snakemake.output
    write_figure(controls_figure(tables, probes, models), output.controls)
    write_figure(cascade_figure(tables, probes, models), output.cascade)
