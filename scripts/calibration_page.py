"""Draw the calibration's figures and write its page."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.calibration import page, table
    from pertprobe.plots import write_figure

    rows, made = table.read(snakemake.input[0]), snakemake.output
    for name in page.FIGURES:
        write_figure(getattr(page, name)(rows), made[name])
    page.write_calibration_page(snakemake.input[0], {name: made[name][0] for name in page.FIGURES}, made.page)
