"""Draw the calibration's figures and write its page."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.calibration import figures, page, table
    from pertprobe.plots import use_style, write_figure

    given, made = snakemake.input, snakemake.output
    rows = table.read(given.calibration)
    use_style(given.style)
    for name in figures.FIGURES:
        write_figure(getattr(figures, name)(rows), made[name])
    page.write_calibration_page(given.calibration, {name: made[name][0] for name in figures.FIGURES}, made.page)
