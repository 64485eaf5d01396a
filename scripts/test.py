"""Test one probe on one model, or on one pair."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe import evidence
    from pertprobe.stages.testing import read_test_case, run_test

    probe, model = snakemake.wildcards.probe, snakemake.wildcards.model
    reference = snakemake.wildcards.get("reference", "")
    case = read_test_case(probe, model, reference, snakemake.input, snakemake.params.question)
    evidence.write(run_test(probe, case, snakemake.params.given_up), snakemake.output[0])
