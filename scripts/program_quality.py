"""Say of each program whether a model predicts its perturbations better than the mean shift."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.programs import run_programs
    from pertprobe.files import write_table
    from pertprobe.models.cards import known_gene_names, read_card
    from pertprobe.stages.quality import program_quality, read_quality

    given, settings = snakemake.input, snakemake.params.programs
    programs = run_programs(given.programs, settings, known_gene_names([read_card(given.names)]))
    table = program_quality(read_quality(given.quality), programs, settings["min_perturbations"])
    write_table(table, snakemake.output[0])
