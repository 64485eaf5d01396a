"""What pip installs: the library with its data, the workflow beside it, the command; and what says who made it."""

import re
import subprocess
import sys
import tarfile
import tomllib
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = ("Snakefile", "rules", "scripts", "config", "envs", "profiles", "report")
INSIDE = "pertprobe/_workflow"
INFO = f"pertprobe-{PROJECT['version']}.dist-info"
QUOTED = re.compile(r'"([\w./+-]+\.(?:smk|py|yaml))"')
"""A path as rules write it: relative to the file that it stands in."""


def files(*places):
    """Return the files below some places of the repository, without what Python leaves there."""
    found = [path for place in places for path in [ROOT / place, *(ROOT / place).rglob("*")] if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts]


def build(source, folder, *targets):
    """Build with what is installed, without an environment of its own: no network is needed."""
    command = [sys.executable, "-m", "hatchling", "build", *targets, "--directory", str(folder)]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def names_in(wheel):
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folder of the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def sources(built, tmp_path_factory):
    """Return the folder that the source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("sources")
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


def test_the_wheel_holds_the_whole_package_and_the_whole_workflow_and_nothing_else(wheel):
    package = {path.relative_to(ROOT / "src").as_posix() for path in files("src/pertprobe")}
    workflow = {f"{INSIDE}/{path.relative_to(ROOT).as_posix()}" for path in files(*WORKFLOW)}
    facts = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    names = names_in(wheel)
    assert {
        "pertprobe/probes/schema.yaml",
        "pertprobe/report/assets/style.css",
        f"{INSIDE}/config/schema.yaml",
    } <= names
    assert names == package | workflow | facts


def test_what_the_workflow_names_lies_in_the_wheel(wheel):
    """The list of its folders could be too short."""
    names, wanted = names_in(wheel), set()
    for source in ROOT.glob("rules/*.smk"):
        wanted |= {f"rules/{name}" for name in QUOTED.findall(source.read_text()) if name.startswith("../")}
    wanted |= set(QUOTED.findall((ROOT / "Snakefile").read_text()))
    parts = {(ROOT / name).resolve().relative_to(ROOT).as_posix() for name in wanted}
    assert {"rules/common.smk", "config/config.yaml", "config/schema.yaml", "scripts/measure.py"} <= parts
    assert {f"{INSIDE}/{part}" for part in parts} - names == set()


def test_the_wheel_brings_the_command(wheel):
    points = ConfigParser()
    with ZipFile(wheel) as archive:
        points.read_string(archive.read(f"{INFO}/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == {"pertprobe": "pertprobe.workflow.commands:app"}


def test_the_sources_hold_tests_and_docs_and_build_the_same_wheel(sources, wheel, tmp_path):
    wanted = files("tests", "docs", "benchmarks", "workflow", ".test", "README.md", "CITATION.cff", "requirements.lock")
    missing = [path for path in wanted if not (sources / path.relative_to(ROOT)).is_file()]
    assert missing == []
    build(sources, tmp_path, "--target", "wheel")
    assert names_in(next(tmp_path.glob("*.whl"))) == names_in(wheel)


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    same = ("version", "license")
    assert {key: cited[key] for key in same} == {key: PROJECT[key] for key in same}
    assert cited["title"] == PROJECT["name"]
    assert {"cff-version", "message", "authors"} <= cited.keys()
