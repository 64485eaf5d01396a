"""Draw the figure of one probe."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.data.programs import run_programs
    from pertprobe.plots import DrawInputs, use_style, within, write_figure
    from pertprobe.probes import load_probe
    from pertprobe.stages.measuring import read_measurement

    params, given = snakemake.params, snakemake.input
    measurements = {name: read_measurement(path) for name, path in zip(params.models, given.measurements, strict=True)}
    names = {
        name for each in measurements.values() if "perturbation" in each.coords for name in each.perturbation.values
    }
    programs = run_programs(given.programs, params.question["programs"], names)
    probe, table = snakemake.wildcards.probe, evidence.read(given.evidence)
    mine = within(table[table.role == "subject"], params.ranges)
    further = {name: pd.read_csv(path, sep="\t") for name, path in zip(params.tables, given.tables, strict=True)}
    use_style(given.style)
    inputs = DrawInputs(mine, measurements, programs, params.question, further, params.thresholds)
    write_figure(load_probe(probe).draw(inputs), snakemake.output)
