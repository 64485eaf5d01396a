"""Runs that are killed, fill a disk, meet another run or another clock: after a rerun all bytes are right."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from judge import GOOD, Judged
from small_run import COLD, RESULTS, TARGET, config, content, finished, said_in_logs, warmed, without_results
from workflow_project import Project, kill

Meet = Callable[[Project, float], object]
"""Starts a run that does not end well, given the seconds that a whole one takes."""
ARGUMENTS = ("--cores", "2", "--rerun-incomplete", "--", TARGET)


def _signalled(number: int, share: float, group: bool) -> Meet:
    """Return what sends a signal to Snakemake, or to all its jobs too, after a share of the run's time."""

    def meet(project: Project, seconds: float) -> None:
        process = project.start(*ARGUMENTS, config=config(), environment=COLD)
        time.sleep(share * seconds)
        (os.killpg if group else os.kill)(process.pid, number)
        with suppress(subprocess.TimeoutExpired):  # it goes on to wait for a job: what is left is killed below
            process.wait(60)
        kill(process)

    return meet


def _job_killed(share: float) -> Meet:
    """Return what kills one child of Snakemake."""

    def meet(project: Project, seconds: float) -> None:
        process = project.start(*ARGUMENTS, config=config(), environment=COLD)
        time.sleep(share * seconds)
        for pid in _children(process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
        process.communicate()

    return meet


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()] if path.exists() else []


def _limited(what: int, most: int) -> Meet:
    """Return what runs all under a limit: of the size of a file, as a full disk, or of memory."""

    def meet(project: Project, seconds: float) -> None:
        project.start("--dry-run", "--", TARGET, config=config()).communicate()  # which writes the config
        command = [sys.executable, "-m", "snakemake", "--configfile", "run.yaml", *ARGUMENTS]
        environment = {**os.environ, "PYTHONPATH": str(project.folder / "src"), **COLD}
        limit = lambda: resource.setrlimit(what, (most, most))  # noqa: E731
        subprocess.run(command, cwd=project.folder, env=environment, preexec_fn=limit, capture_output=True)

    return meet


def _two(project: Project, seconds: float) -> None:
    processes = [project.start(*ARGUMENTS, config=config(), environment=COLD) for _ in range(2)]
    for each in processes:
        each.communicate()


def _clock(moment: float) -> Meet:
    """Return what ends half a run whose results bear the date of a clock that was wrong."""

    def meet(project: Project, seconds: float) -> None:
        _signalled(signal.SIGKILL, 0.6, True)(project, seconds)
        for path in (project.folder / RESULTS).rglob("*"):
            os.utime(path, (moment, moment))

    return meet


MEETINGS: dict[str, Meet] = {
    **{f"kill -9 of all after {share:.0%}": _signalled(signal.SIGKILL, share, True) for share in (0.3, 0.5, 0.7, 0.9)},
    **{f"kill -9 of Snakemake after {share:.0%}": _signalled(signal.SIGKILL, share, False) for share in (0.5, 0.8)},
    **{f"SIGTERM after {share:.0%}": _signalled(signal.SIGTERM, share, False) for share in (0.5, 0.8)},
    **{f"SIGINT after {share:.0%}": _signalled(signal.SIGINT, share, False) for share in (0.5, 0.8)},
    **{f"kill -9 of a job after {share:.0%}": _job_killed(share) for share in (0.6, 0.8)},
    **{f"a disk full at {most} bytes a file": _limited(resource.RLIMIT_FSIZE, most) for most in (2000, 8000, 30_000)},
    "a memory of 2 GB": _limited(resource.RLIMIT_AS, 2 * 2**30),
    "two runs at once": _two,
    "a clock ten years ahead": _clock(time.time() + 3e8),
    "a clock of 1990": _clock(6.5e8),
}


def judge_restarts(done: Collection[str] = ()) -> Iterator[Judged]:
    """Yield whether the run after each meeting ends with the bytes of a run that met nothing."""
    with tempfile.TemporaryDirectory() as scratch, warmed():
        began = time.monotonic()
        whole = finished(Path(scratch) / "whole", COLD)
        seconds, right = time.monotonic() - began, content(whole)
        for name, meet in MEETINGS.items():
            if f"restart/{name}" in done:
                continue
            with tempfile.TemporaryDirectory() as other:
                project = without_results(whole, Path(other) / "project")
                meet(project, seconds)
                left = said_in_logs(project)
                project.run("--unlock", config=config())
                status, said = project.run(*ARGUMENTS, config=config())
                yield _judged(f"restart/{name}", status, said, content(project) == right, left)


def _judged(name: str, status: int, said: str, same: bool, left: str) -> Judged:
    if status:
        return Judged(name, "refused", " ".join(said.split())[-300:])
    if not same:
        return Judged(name, "silent", "other bytes after the rerun")
    # The bytes are right; what was said of the stop is judged too.
    if "Traceback" in left and "disk" in name:
        return Judged(name, "traceback", " ".join(left.split())[-300:])
    return Judged(name, GOOD, "same bytes")
