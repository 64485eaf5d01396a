"""Say of each program whether a model predicts its perturbations better than the mean shift."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.programs import run_programs
    from pertprobe.evidence import write
    from pertprobe.models.cards import known_gene_names, read_card
    from pertprobe.stages.quality import program_quality, read_quality

    given, settings = snakemake.input, snakemake.params.programs
    programs = run_programs(given.programs, settings, known_gene_names([read_card(given.names)]))
    write(program_quality(read_quality(given.quality), programs, settings["min_perturbations"]), snakemake.output[0])
