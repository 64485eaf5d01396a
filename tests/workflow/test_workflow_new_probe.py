"""A probe is two files: one that nobody has seen is put into a copy of the project, and runs from end to end."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from workflow_project import NEW, ROOT

FILES = sorted((Path(__file__).parent / "new_probe").glob(f"{NEW}.*"))


def test_the_probe_is_two_files():
    assert [path.name for path in FILES] == ["code_size.py", "code_size.yaml"]


def test_it_is_asked_of_the_model_its_copies_and_planted_models(every):
    table = pd.read_csv(every.results / f"evidence/{NEW}.tsv", sep="\t", keep_default_na=False)
    assert {"subject", "redrawn", "shuffled", "planted", "lookup", "covariation"} <= set(table.role)
    asked = table[table.role == "subject"]
    assert set(asked.program) == {f"program_{n}" for n in range(1, 5)}
    assert (asked.evaluable | (asked.reason != "")).all()
    assert asked.q[asked.evaluable].ne("").all()


def test_it_is_judged_by_its_own_thresholds_drawn_and_reported(every):
    verdicts = pd.read_csv(every.results / "verdicts.tsv", sep="\t", keep_default_na=False)
    assert NEW in set(verdicts.probe)
    assert all((every.results / f"figures/{NEW}{suffix}").stat().st_size for suffix in (".svg", ".pdf", ".png"))
    assert NEW in (every.results / "report.html").read_text()


def test_it_is_held_to_every_law_and_has_its_parts_of_the_calibration(every):
    environment = {**os.environ, "PYTHONPATH": str(every.folder / "src"), "OMP_NUM_THREADS": "1"}
    laws = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(ROOT / "tests/laws"), "-k", NEW]
    run = subprocess.run(laws, cwd=every.folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert "passed" in run.stdout
    asked = "from pertprobe.calibration.parts import parts; print(*parts())"
    found = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert f"nulls_{NEW}" in found.stdout.split()
