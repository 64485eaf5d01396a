"""Draw the figure of one probe."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.plots import nothing_to_draw, use_style, write_figure
    from pertprobe.probes import load_probe
    from pertprobe.stages.drawing import read_draw_inputs

    params, probe = snakemake.params, snakemake.wildcards.probe
    use_style(snakemake.input.style)
    if params.given_up:
        drawn = nothing_to_draw(f"This figure could not be drawn. {params.given_up}.")
    else:
        drawn = load_probe(probe).draw(read_draw_inputs(snakemake.input, params))
    write_figure(drawn, snakemake.output)
