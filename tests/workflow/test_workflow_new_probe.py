"""A probe is two files: one that nobody has seen is put into a copy of the project, and runs from end to end."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from workflow_project import ROOT, tiny

FILES = sorted((Path(__file__).parent / "new_probe").glob("code_size.*"))
PROBE = "code_size"


@pytest.fixture(scope="module")
def with_probe(demo, tmp_path_factory):
    """Return a copy of the finished tiny demo into which two files were put, with the new probe run."""
    project = demo.copy(tmp_path_factory.mktemp("new") / "project")
    for path in FILES:
        (project.folder / "src/pertprobe/probes" / path.name).write_text(path.read_text())
    config = tiny()
    project.finish("--cores", "2", "--", "all", PROBE, config=config | {"probes": config["probes"] | {PROBE: {}}})
    return project


def test_the_probe_is_two_files():
    assert [path.name for path in FILES] == ["code_size.py", "code_size.yaml"]


def test_it_is_asked_of_the_model_its_copies_and_planted_models(with_probe):
    table = pd.read_csv(with_probe.results / f"evidence/{PROBE}.tsv", sep="\t", keep_default_na=False)
    assert {"subject", "redrawn", "shuffled", "planted", "lookup", "covariation"} <= set(table.role)
    asked = table[table.role == "subject"]
    assert set(asked.program) == {f"program_{n}" for n in range(1, 5)}
    assert (asked.evaluable | (asked.reason != "")).all()
    assert asked.q[asked.evaluable].ne("").all()


def test_it_is_judged_by_its_own_thresholds_drawn_and_reported(with_probe):
    verdicts = pd.read_csv(with_probe.results / "verdicts.tsv", sep="\t", keep_default_na=False)
    assert PROBE in set(verdicts.probe)
    assert all((with_probe.results / f"figures/{PROBE}{suffix}").stat().st_size for suffix in (".svg", ".pdf", ".png"))
    assert PROBE in (with_probe.results / "report.html").read_text()


def test_it_is_held_to_every_law_and_has_its_parts_of_the_calibration(with_probe):
    environment = {**os.environ, "PYTHONPATH": str(with_probe.folder / "src"), "OMP_NUM_THREADS": "1"}
    laws = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(ROOT / "tests/laws"), "-k", PROBE]
    run = subprocess.run(laws, cwd=with_probe.folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert "passed" in run.stdout
    asked = "from pertprobe.calibration.parts import parts; print(*parts())"
    found = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert f"nulls_{PROBE}" in found.stdout.split()
