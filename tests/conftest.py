"""Where the shared models and data lie, and how many tests had to do without them."""

import os
from pathlib import Path

import pytest
import shape_checks  # noqa: F401 before the package, whose calls it checks

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("PERTPROBE_SHARED") or ROOT.parent / "shared").resolve()
REASON = "the shared folder is absent"


def shared_path(*parts):
    """Return a path in the shared folder; where it is absent the test is skipped, or fails if the folder is required.

    Set PERTPROBE_SHARED to say where the folder lies (default: beside the project), PERTPROBE_REQUIRE_SHARED=1 to fail.
    """
    path = SHARED.joinpath(*parts)
    if not path.exists():
        message = f"{REASON}: {'/'.join(parts)} (set PERTPROBE_SHARED)"
        (pytest.fail if os.environ.get("PERTPROBE_REQUIRE_SHARED") == "1" else pytest.skip)(message)
    return path


@pytest.fixture(name="shared_path", scope="session")
def shared_path_fixture():
    return shared_path


def pytest_terminal_summary(terminalreporter):
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if REASON in str(report.longrepr)]
    terminalreporter.write_line(f"{len(skipped)} tests skipped for want of the shared folder")
