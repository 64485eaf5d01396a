"""Profiles: known options and rules, GPUs that a profile grants, resources that grow, groups that can run."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser
from workflow_project import ROOT, Project, tiny

PROFILES = {path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("profiles/*/config.v9+.yaml")}
CLUSTERS = ("slurm", "kubernetes")
TEXT = "".join(path.read_text() for path in ROOT.glob("rules/*.smk"))
RULES = set(re.findall(r"^ *(?:use rule \w+ as|rule) (\w+)", TEXT, re.MULTILINE))
JOB = re.compile(r"^ *(?:local)?rule (\w+):\n(?:    .*\n)*? +resources: (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project.fresh(tmp_path_factory.mktemp("profiles"))


def asked(project, *arguments):
    """Return rule -> what a job of it asks for, of a dry run."""
    said = project.finish("--dry-run", *arguments, config=tiny())
    return {rule: dict(each.split("=", 1) for each in text.split(", ")) for rule, text in JOB.findall(said)}


def plain(profile: str, folder: Path) -> str:
    """Write a cluster's profile without its executor, which need not be installed to plan."""
    keys = ("groups", "group-components", "cores", "default-resources", "resources")
    folder.mkdir()
    (folder / "config.v9+.yaml").write_text(yaml.safe_dump({key: PROFILES[profile][key] for key in keys}))
    return str(folder)


def test_the_profiles_of_the_design_are_found():
    assert PROFILES.keys() == {"default", "gpu", "slurm", "kubernetes"}


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_of_a_profile_is_an_option_of_snakemake(name):
    options = {option.removeprefix("--") for option in get_argument_parser()._option_string_actions}
    executor = PROFILES[name].get("executor", "none")
    installed = importlib.util.find_spec(f"snakemake_executor_plugin_{executor}") is not None
    unknown = [key for key in PROFILES[name] if key not in options]
    assert [key for key in unknown if installed or not key.startswith(f"{executor}-")] == []


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_rule_that_a_profile_groups_is_there_and_no_measurement_on_a_gpu_is(name):
    grouped = PROFILES[name]["groups"]
    assert grouped.keys() <= RULES
    assert [rule for rule in grouped if rule.startswith("measure")] == ["measure_derived"]  # closed forms: no GPU
    assert set(grouped.values()) == PROFILES[name]["group-components"].keys()


def test_clusters_group_alike():
    slurm, kubernetes = (PROFILES[name] for name in CLUSTERS)
    for key in ("groups", "group-components", "cores", "retries", "resources"):
        assert slurm[key] == kubernetes[key]


@pytest.mark.parametrize("config", ["config/config.yaml", "run.yaml"])
def test_no_group_waits_for_itself(project, tmp_path, config):
    (project.folder / "run.yaml").write_text(yaml.safe_dump(tiny() | {"shards": 3}))
    profile = plain("slurm", tmp_path / "plain")
    said = project.finish("--dry-run", "--workflow-profile", profile, "--configfile", config)
    assert {"models", "gathered_knockout", "tested_knockout"} <= set(re.findall(r"Group job (\w+)", said))


def test_only_measurements_ask_for_a_gpu_and_only_a_profile_grants_it(project, tmp_path):
    for arguments, granted in (
        ((), "0"),
        (("--workflow-profile", "profiles/gpu"), "1"),
        (("--workflow-profile", plain("slurm", tmp_path / "plain")), "1"),
    ):
        jobs = asked(project, *arguments)
        measured = {rule for rule in jobs if rule.startswith("measure") and rule != "measure_derived"}
        assert {rule: jobs[rule]["gpu"] for rule in jobs if "gpu" in jobs[rule]} == dict.fromkeys(measured, granted)


@pytest.mark.parametrize("name", CLUSTERS)
def test_memory_and_time_grow_with_each_attempt(project, tmp_path, name):
    profile = plain(name, tmp_path / "plain")
    first, third = (asked(project, "--workflow-profile", profile, "--attempt", str(each)) for each in (1, 3))
    assert {rule for rule in first if rule not in ("all", "pert_embedding")} > {"measure", "simulate", "test"}
    for rule, resources in first.items():
        for resource in {"mem_mb", "runtime"} & resources.keys():
            assert int(third[rule][resource]) == 3 * int(resources[resource]), (rule, resource)
