"""The calibration is a target of its own, which needs nothing of a run."""

from pathlib import Path

import yaml
from workflow_project import ROOT, Project

from pertprobe.calibration import parts

# One seed of each part that is cut by seed.
SHORT = yaml.safe_load((Path(ROOT) / "config" / "calibration_short.yaml").read_text())


def test_the_calibration_has_a_job_for_each_part_and_needs_no_run(tmp_path):
    plan = Project.fresh(tmp_path).plan(SHORT, "calibration")
    assert plan.jobs == {
        "calibrate": len(parts.names(SHORT["calibration"])),
        "gather_calibration": 1,
        "calibration_page": 1,
        "calibration": 1,
    }
