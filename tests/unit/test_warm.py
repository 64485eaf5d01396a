"""A job that goes on in a fork is the same job: its words, status, files and end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pertprobe.workflow import warm
from pertprobe.workflow.warm import DOOR, warm_python

SCRIPT = """
import os, sys
from pertprobe.workflow.warm import run_warm
if (status := run_warm()) is not None:
    sys.exit(status)
{body}
"""
"""What the first lines of a job do, and then `body`."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the environment of jobs of a warm Python that has loaded one small library: seconds less to wait for."""
    text, path = Path(warm.__file__).read_text(), tmp_path_factory.mktemp("warm") / "warm.py"
    start, end = text.index("LOADED = ("), text.index('"""What is loaded')
    path.write_text(text[:start] + 'LOADED = ("colorsys",)\n' + text[end:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm, "__file__", str(path))
        with warm_python() as found:
            yield {**os.environ, **found}


@pytest.fixture
def start(environment, tmp_path):
    """Return what starts a script with this body in a folder of its own."""

    def begin(body: str, **further: str) -> subprocess.Popen:
        path = tmp_path / "job.py"
        path.write_text(SCRIPT.format(body=body))
        return subprocess.Popen(
            [sys.executable, str(path)], cwd=tmp_path, env=environment | further, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return begin


def test_it_runs_in_a_fork_with_its_own_folder_environment_and_words(start, tmp_path):
    body = "import os, sys; print(os.getcwd(), os.environ['MINE'], 'colorsys' in sys.modules, sys.argv, __name__)"
    process = start(body, MINE="here")
    said, failed = process.communicate()
    assert said.split(" ", 3)[:3] == [str(tmp_path), "here", "True"]
    assert said.strip().endswith(f"['{tmp_path}/job.py'] __main__")
    assert failed == ""


@pytest.mark.parametrize(("body", "status"), [("pass", 0), ("sys.exit(3)", 3), ("sys.exit('no')", 1), ("1 / 0", 1)])
def test_it_ends_as_it_would_alone(start, body, status):
    process = start(body)
    _, failed = process.communicate()
    assert process.returncode == status
    assert ("ZeroDivisionError" in failed) == (body == "1 / 0")


def test_where_it_is_killed_so_is_who_started_it(start):
    process = start("import signal; os.kill(os.getpid(), signal.SIGKILL)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_and_tidies_up_when_who_started_it_is_gone(start, tmp_path, sent):
    body = """
import time
try:
    open("begun", "w").write(str(os.getpid()))
    time.sleep(60)
finally:
    open("tidied", "w").close()
"""
    process = start(body)
    _until(lambda: (tmp_path / "begun").is_file() and (tmp_path / "begun").read_text())
    worker = int((tmp_path / "begun").read_text())
    assert worker != process.pid
    process.send_signal(sent)
    process.communicate()
    _until(lambda: (tmp_path / "tidied").is_file())
    _until(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize("door", ["", "/another/python:{door}", "{python}:/nowhere/door"])
def test_without_a_door_of_its_own_a_job_loads_for_itself(start, environment, door):
    python, _, place = environment[DOOR].rpartition(":")
    process = start(
        "print('colorsys' in sys.modules, os.getpid())", **{DOOR: door.format(python=python, door=place)}
    )  # no fork
    said, _ = process.communicate()
    assert said.split() == ["False", str(process.pid)]


def test_it_ends_with_who_keeps_it_however_that_ends(tmp_path):
    body = "import os, time; from pertprobe.workflow import warm; warm.LOADED = (); warm.keep_warm();"
    body += "print(os.environ['PERTPROBE_WARM'], warm._KEPT[0].pid, flush=True); time.sleep(60)"
    outside = {name: value for name, value in os.environ.items() if name != DOOR}
    keeper = subprocess.Popen([sys.executable, "-c", body], env=outside, stdout=subprocess.PIPE, text=True)
    door, pid = keeper.stdout.readline().split()
    assert Path(door.rpartition(":")[2]).exists()
    keeper.kill()
    keeper.communicate()
    _until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])
    _until(lambda: not Path(door.rpartition(":")[2]).parent.exists())


def test_one_kept_already_is_used_and_none_is_started_where_none_is_wanted(monkeypatch):
    monkeypatch.setenv(DOOR, "")
    warm.keep_warm()
    assert warm._KEPT == []


def test_where_no_socket_can_be_made_jobs_load_for_themselves(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(warm.tempfile, "tempdir", str(long))
    monkeypatch.delenv(DOOR, raising=False)
    warm.keep_warm()
    assert DOOR not in os.environ
    assert warm._KEPT == []
    assert list(long.iterdir()) == []


def _until(true, seconds=30):
    """Wait until something is true; fail if it does not become so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
