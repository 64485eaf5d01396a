"""The command line over the real Snakemake: a plan in one sentence, and figures that do not measure."""

import yaml
from workflow_project import Project, tiny


def test_a_plan_is_one_sentence_and_figures_without_measurements_are_refused(tmp_path):
    project = Project.fresh(tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny(), sort_keys=False))
    plan = project.pertprobe("run", "--dry-run")
    jobs = project.plan(tiny(), "all").jobs
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.startswith(f"{jobs.total()} jobs to do: reading inputs ")
    assert plan.stdout.count("\n") == 1
    refused = project.pertprobe("figures")
    assert refused.returncode == 1
    assert "first missing: results/tiny/" in refused.stderr
    assert "Measure first: pertprobe run --config run.yaml" in refused.stderr
    assert not project.results.exists()
