"""The Slurm profile on a real Slurm: memory that grows, a shard that fails, one GPU, shared jobs, the same tables."""

from itertools import pairwise


def test_a_job_killed_for_memory_is_tried_again_with_more_memory_and_time(broken):
    run, _ = broken
    first, second = run.of("rule_cells/line_b")
    assert (first.state, first.signal, first.memory, first.minutes) == ("FAILED", 9, 2000, 20)
    assert (second.state, second.signal, second.memory, second.minutes) == ("COMPLETED", 0, 4000, 40)
    assert "exceeded memory limit" in run.said


def test_a_shard_that_fails_is_tried_three_times_and_holds_up_no_other(broken):
    run, times = broken
    failed = run.of("rule_measure/pert_embedding_b_fewshot_1_2")
    assert [(job.state, job.signal, job.memory) for job in failed] == [
        ("FAILED", 0, 4000),
        ("FAILED", 0, 8000),
        ("FAILED", 0, 12000),
    ]
    assert run.status != 0
    assert {"evidence/knockout.tsv", "measurements/pert_embedding/shards/b_fewshot/0-of-2.nc"} <= times.keys()
    assert not {"evidence/pert_embedding.tsv", "verdicts.tsv"} & times.keys()


def test_only_the_failed_shard_is_measured_again(project, broken, repaired):
    assert repaired.status == 0, repaired.said
    measured = [job.name for job in repaired.jobs if job.name.startswith("rule_measure/")]
    assert measured == ["rule_measure/pert_embedding_b_fewshot_1_2"]
    _, before = broken
    after = project.times()
    kept = {name for name in before if name.startswith(("measurements/", "evidence/knockout", "trained/"))}
    assert {name for name in kept & after.keys() if after[name] != before[name]} == set()


def test_measurements_and_nothing_else_take_the_gpu_one_at_a_time(broken):
    run, _ = broken
    on_gpu = sorted((job for job in run.jobs if job.gpus), key=lambda job: job.start)
    assert set(on_gpu) == set(run.of("rule_measure/"))
    assert {job.gpus for job in on_gpu} == {1}
    assert all(one.end <= other.start for one, other in pairwise(on_gpu))


def test_small_jobs_share_a_submission(broken, repaired):
    run, _ = broken
    for group in ("group_models", "group_tested_knockout", "group_gathered_knockout"):
        assert [job.state for job in run.of(group)] == ["COMPLETED"], group
    assert not any(job.name.startswith(("rule_test", "rule_gather")) for job in [*run.jobs, *repaired.jobs])


def test_tables_are_those_of_a_run_in_one_shard_without_a_cluster(project, repaired, local):
    tables = [path.relative_to(local.results) for path in local.results.glob("evidence/*/*.tsv")]
    tables += [path.relative_to(local.results) for path in local.results.glob("*.tsv")]
    assert len(tables) > 15
    different = [
        name for name in tables if (local.results / name).read_bytes() != (project.results / name).read_bytes()
    ]
    assert different == []
