"""The form of the workflow: rules, scripts, environment and lock."""

import importlib.util
import re
import subprocess
import sys
import tomllib

import pytest
from workflow_project import ROOT, Project

ORDER = ["name", "input", "output", "log", "conda", "threads", "resources", "params", "script"]
HEAVY = {"torch", "anndata", "xarray", "h5py", "matplotlib", "sklearn", "scipy"}
RULE = re.compile(r"^( *)rule ?(\w*):\n((?:\1    .*\n|\n)+)", re.MULTILINE)
NAME = re.compile(r"^ +name:\n +(.+)$", re.MULTILINE)
"""Of a rule in a loop: an expression."""


def rules():
    """Return rule -> its directives in order, and its body, for every rule that runs a script."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for indent, name, body in RULE.findall(path.read_text()):
            name = name or NAME.search(body).group(1)
            found[name] = re.findall(rf"^{indent}    (\w+):", body, re.MULTILINE), body
    return {name: rule for name, rule in found.items() if "script" in rule[0]}


RULES = {name: directives for name, (directives, _) in rules().items()}
BODIES = {name: body for name, (_, body) in rules().items()}
LOCK = (ROOT / "requirements.lock").read_text()
PIN = re.compile(r"^([a-z0-9-]+)==((?:.*\\\n)*.*)", re.MULTILINE)
PINNED = dict(PIN.findall(LOCK))
EXTRAS = {name: dict(PIN.findall((ROOT / f"requirements-{name}.lock").read_text())) for name in ("cluster", "browser")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def tool(*arguments):
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_rules_of_the_design_are_found():
    assert {"check_inputs", "simulate", "cells", "train", "card", "gather", "test", "verdicts", "report"} <= set(RULES)
    assert {"measure_derived", "observe", "quality", "program_quality", "draw_controls", "calibrate"} <= set(RULES)
    assert {name for name in RULES if name.startswith("measure")} == {"measure", "measure_derived", "measure_atlas"}
    assert 'f"tabulate_{each}"' in RULES


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_its_directives_in_the_agreed_order(rule):
    known = [name for name in RULES[rule] if name in ORDER]
    assert known == sorted(known, key=ORDER.index)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_log_and_an_environment(rule):
    assert {"output", "log", "conda"} <= set(RULES[rule])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_depends_on_the_code_it_runs(rule):
    assert ("code=" in BODIES[rule]) != (rule == "check_inputs")  # the gate, which must not run again


@pytest.mark.parametrize("rule", ["measure", "measure_atlas"])
def test_every_measurement_asks_for_a_gpu_and_for_memory_and_time_that_grow(rule):
    asked = r"resources:\n +gpu=1,\n +mem_mb=growing\(\d+\),\n +runtime=growing\(\d+\),\n"
    assert re.search(asked, BODIES[rule])


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_scripts_are_thin(script):
    assert len(script.read_text().splitlines()) <= 25


def test_every_script_is_used_by_a_rule():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert {path.name for path in (ROOT / "scripts").glob("*.py")} == set(re.findall(r"scripts/(\w+\.py)", text))


def test_snakemake_finds_nothing_to_criticise(tmp_path):
    assert Project.fresh(tmp_path).run("--lint")[0] == 0


def test_the_rules_are_formatted():
    result = tool("snakefmt", "--check", "Snakefile", "rules", "workflow")
    assert result.returncode == 0, result.stderr


def test_parsing_the_workflow_imports_nothing_heavy(tmp_path):
    project = Project.fresh(tmp_path)
    command = [sys.executable, "-X", "importtime", "-m", "snakemake", "--dry-run"]
    result = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
    imported = set(re.findall(r"^import time:.*\| +(\w+)", result.stderr, re.MULTILINE))
    assert result.returncode == 0, result.stderr[-2000:]
    assert "snakemake" in imported
    assert imported & HEAVY == set()


def test_the_conda_environment_equals_the_lock():
    spec = importlib.util.spec_from_file_location("from_lock", ROOT / "envs/from_lock.py")
    from_lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(from_lock)
    made = from_lock.environment(ROOT / "pyproject.toml", ROOT / "requirements.lock")
    assert (ROOT / "envs/pertprobe.yaml").read_text() == made


def test_the_conda_environment_takes_the_versions_of_its_own_python():
    """Where the lock has two, one for Python before 3.12 and one from it on."""
    twice = dict(re.findall(r"^([a-z0-9-]+)==(\S+) ; python_full_version < '3.12'", LOCK, re.MULTILINE))
    pinned = dict(re.findall(r"^  - ([a-z0-9-]+)=([^=\s]+)$", (ROOT / "envs/pertprobe.yaml").read_text(), re.MULTILINE))
    assert pinned["python"] == "3.11"
    both = twice.keys() & pinned.keys()
    assert {"numpy", "zarr"} <= both
    assert {name: pinned[name] for name in both} == {name: twice[name] for name in both}


def test_every_direct_dependency_is_locked_except_torch():
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    names = {re.match("[a-z0-9-]+", requirement).group() for requirement in wanted}
    assert names - PINNED.keys() == {"torch"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_optional_is_locked_beside_the_rest_and_changes_none_of_it(extra):
    wanted = {re.match("[a-z0-9-]+", each).group() for each in PROJECT["optional-dependencies"][extra]}
    assert wanted <= EXTRAS[extra].keys()
    assert EXTRAS[extra].keys() & PINNED.keys() == set()


def test_everything_locked_has_hashes():
    locked = [item for lock in (PINNED, *EXTRAS.values()) for item in lock.items()]
    assert [name for name, body in locked if "--hash=sha256:" not in body] == []


def test_the_lock_holds_no_torch_no_cuda_and_no_address():
    assert not {name for name in PINNED if name == "torch" or name.startswith(("nvidia", "triton", "cuda"))}
    assert "://" not in LOCK
