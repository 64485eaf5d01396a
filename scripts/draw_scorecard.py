"""Draw the score card."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.plots import use_style, write_figure
    from pertprobe.report.scorecard_figure import scorecard_figure
    from pertprobe.stages.answer import read_answers
    from pertprobe.stages.scorecard import read_scorecard

    use_style(snakemake.input.style)
    given = snakemake.input
    answers = read_answers(given.answers)
    figure = scorecard_figure(read_scorecard(given.scorecard), answers, snakemake.params.delta)
    write_figure(figure, snakemake.output)
