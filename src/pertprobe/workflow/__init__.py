"""What the workflow stands on: config, checks, digests of code, jobs, provenance."""
