"""What every script of the workflow shares: its log, one thread, freed memory that is kept, and errors in words."""

import ctypes
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pertprobe import made
from pertprobe.errors import PertprobeError
from pertprobe.identity import KnownFiles
from pertprobe.workflow.usage import used
from pertprobe.workflow.warm import LOADING, run_warm

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt in glibc's malloc.h."""
LARGEST = 2**30
"""Bytes: arrays up to here are taken from, and given back to, the process's own memory."""


def keep_freed_memory() -> bool:
    """Have malloc keep what is freed, and return whether it will; only glibc can.

    A batch of derivatives makes arrays of many megabytes and drops them at once. By default each is borrowed from the
    system and given back, and clearing its pages takes as long as filling them. The peak is as it was.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST) and mallopt(TRIM_THRESHOLD, 2**31 - 1))


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Send everything to the rule's log; end with status 1 and plain words when the mistake is the user's.

    Where a warm Python waits, the script goes on there, and here nothing but its exit status is waited for.

    One thread a job: the order of floating-point sums, and with it every table, must not depend on the cores given.
    Enter this before heavy imports, since libraries read the thread settings when they load.

    What other jobs made must be as they left it, and what this one makes is recorded (made.py).
    """
    if (status := run_warm()) is not None:
        sys.exit(status)
    began = time.monotonic()
    _redirect(Path(snakemake.log[0]))
    os.environ.update(LOADING)
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    outputs, results = list(getattr(snakemake, "output", [])), snakemake.log[0].partition("/logs/")[0]
    try:
        made.forget(outputs, results)
        made.check(getattr(snakemake, "input", []), results, KnownFiles())
        yield
        made.record(outputs, results)
    except PertprobeError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    print(used(began), file=sys.stderr)


def device(resources: Any) -> str:
    """Return "cuda" where the rule was granted a GPU and there is one, "cpu" otherwise."""
    if not resources.get("gpu", 0):
        return "cpu"
    import torch  # two seconds that a job without a GPU is spared

    return "cuda" if torch.cuda.is_available() else "cpu"


def _redirect(log: Path) -> None:
    """Point stdout and stderr, also those of C libraries, at the log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
