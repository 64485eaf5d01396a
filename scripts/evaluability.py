"""Say which questions can be put: the run's first output."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.programs import read_panels, run_programs
    from pertprobe.files import write_table
    from pertprobe.models.cards import known_gene_names, read_cards
    from pertprobe.probes.declaration import all_declared
    from pertprobe.stages.evaluability import evaluability_table

    params = snakemake.params
    models = read_cards(params.entries, snakemake.input.cards, snakemake.input.seen)
    programs = run_programs(snakemake.input.programs, params.programs, known_gene_names(models.values()))
    names = sorted(set().union(*(model["perturbations"] for model in models.values())))
    limits = params.programs["min_perturbations"], params.programs["min_genes"]
    panels = read_panels(params.panels, programs, names)
    table = evaluability_table(models, programs, panels, all_declared(params.probes), *limits)
    write_table(table, snakemake.output[0])
