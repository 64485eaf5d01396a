"""Reports of made runs, opened in the Chromium of this machine; without one these tests are skipped, and counted."""

from importlib.util import find_spec

import pytest
from chromium import NAMES, chromium, found_chromium
from made_run import write_made_report
from made_shape import PUBLISHED, SMALL
from pages import Opener

REASON = "no browser"


def missing():
    """Return what these tests lack; empty where they can run."""
    if not (find_spec("playwright") and find_spec("axe_playwright_python") and find_spec("pypdfium2")):
        return f"{REASON}: what drives it is not installed (make browser)"
    return "" if found_chromium() else f"{REASON}: none of {', '.join(NAMES)} on PATH (set PERTPROBE_CHROMIUM)"


# Of this package and no longer: what drives the browser keeps an event loop running.
@pytest.fixture(scope="package")
def browser():
    if lacking := missing():
        pytest.skip(lacking)
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser):
    """Return what opens a page; at the end of the test no page may have had a fault."""
    opener = Opener(browser)
    yield opener
    opener.close()
    assert opener.faults == []


@pytest.fixture(scope="package")
def small(browser, tmp_path_factory):
    """Return the report of a small run with names of every kind; its folder is that of the run."""
    return write_made_report(tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="package")
def large(browser, tmp_path_factory):
    """Return the report of a run of the published size."""
    return write_made_report(tmp_path_factory.mktemp("large"), PUBLISHED)


def pytest_terminal_summary(terminalreporter):
    skipped = [each for each in terminalreporter.stats.get("skipped", []) if REASON in str(each.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped: {missing()}")
