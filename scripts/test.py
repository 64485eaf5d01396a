"""Test one probe on one model, or on one pair."""

from pertprobe.job import job

with job(snakemake):
    from pertprobe import evidence
    from pertprobe.testing import read_inputs, run_test

    probe, model = snakemake.wildcards.probe, snakemake.wildcards.model
    reference = snakemake.wildcards.get("reference", "")
    inputs, causal = read_inputs(probe, model, reference, snakemake.input, snakemake.params.question)
    evidence.write(run_test(probe, inputs, causal=causal), snakemake.output[0])
