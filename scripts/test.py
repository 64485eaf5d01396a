"""Test one probe on one model, or on one pair."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe import evidence
    from pertprobe.stages.testing import read_question, run_test

    probe, model = snakemake.wildcards.probe, snakemake.wildcards.model
    reference = snakemake.wildcards.get("reference", "")
    asked = read_question(probe, model, reference, snakemake.input, snakemake.params.question)
    evidence.write(run_test(probe, asked), snakemake.output[0])
