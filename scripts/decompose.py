"""Say what each program comes from: the backbone, the fine-tune, or neither."""

from pertprobe.workflow.job import job

with job(snakemake):
    import pandas as pd

    from pertprobe import evidence
    from pertprobe.data.programs import run_programs
    from pertprobe.files import AS_TEXT, write_table
    from pertprobe.stages.decomposition import decomposition, mean_r

    given, params = snakemake.input, snakemake.params
    perturbations = pd.read_csv(given.perturbations, sep="\t", dtype=AS_TEXT)
    programs = run_programs(given.programs, params.programs, set(perturbations.perturbation))
    rows = evidence.read(given.evidence)
    table = decomposition(rows, mean_r(perturbations, programs), params.conditions, params.interest)
    write_table(table, snakemake.output[0])
