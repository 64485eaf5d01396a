"""Snakemake as a child process: its lines are handed on as they come, and what asks us to stop is passed on to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

COMMAND = (sys.executable, "-m", "snakemake")
"""How Snakemake is called."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, kill, and a terminal that is closed."""


class Ended(NamedTuple):
    """How the child ended."""

    status: int
    """Its exit status; negative where a signal killed it."""
    stopped: int
    """The first signal that asked us to stop; 0 where none did."""


def run_snakemake(arguments: Sequence[str], hear: Callable[[str], None]) -> Ended:
    """Run Snakemake in the current folder until it ends; every line that it says is given to `hear`."""
    child = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # Ctrl-C reaches it once, from us
    )
    with _passing_on(child) as stopped, child:
        try:
            for line in child.stdout:
                hear(line)
            return Ended(child.wait(), stopped[0] if stopped else 0)
        finally:
            if child.poll() is None:  # something went wrong on our side
                child.terminate()


@contextmanager
def _passing_on(child: subprocess.Popen) -> Iterator[list[int]]:
    """Pass signals on to the child; yield those that came. What is ignored, as under nohup, stays ignored."""
    came: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        """Remember a signal, and tell the child."""
        came.append(number)
        tell(child, number)

    heeded = [number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in heeded}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(child: subprocess.Popen, number: int) -> None:
    """Ask the child to stop.

    Ctrl-C reaches its jobs too, as in a terminal, and ends them. Otherwise it lets those finish that run, and begins no
    other.
    """
    try:
        if number == signal.SIGINT:
            os.killpg(child.pid, number)
        else:
            child.send_signal(signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has ended by itself
