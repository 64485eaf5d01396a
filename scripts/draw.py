"""Draw the figure of one probe."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.data.programs import run_programs
    from pertprobe.plots import DrawInputs, write_figure
    from pertprobe.probes import load_probe
    from pertprobe.stages.measuring import read_measurement

    params, given = snakemake.params, snakemake.input
    measurements = {name: read_measurement(path) for name, path in zip(params.models, given.measurements, strict=True)}
    names = {
        name for each in measurements.values() if "perturbation" in each.coords for name in each.perturbation.values
    }
    programs = run_programs(given.programs, params.question["programs"], names)
    table = evidence.read(given.evidence)
    further = {name: pd.read_csv(path, sep="\t") for name, path in zip(params.tables, given.tables, strict=True)}
    inputs = DrawInputs(table[table.role == "subject"], measurements, programs, params.question, further)
    write_figure(load_probe(snakemake.wildcards.probe).draw(inputs), snakemake.output)
