"""An h5ad read through in a process of its own, once, before any other touches it: libhdf5 can crash or hang on damage.

What the child says, its death and its silence all become words.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path

from pertprobe.errors import PertprobeError
from pertprobe.readers.budget import refuse_pointer

PATIENCE = 120.0
"""Seconds without a step after which a child reads no more; a step is one block of 32 MB at most."""
READER = ("-m", "pertprobe.readers.through")
REMEDY = "copy or download it again, or write it anew with anndata"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def check_apart(path: str | Path, spaces: Collection[str] | None = None, patience: float = PATIENCE) -> None:
    """Read an h5ad through in a child process; nothing is done for a file that was read so before by this process.

    Args:
        path: the file; where there is none, or what is there is no file, nothing is said.
        spaces: matrices whose every value is read ("X", "layers/NAME", a key of obsm); others by their shapes only.
        patience: seconds without a step after which it is ended.

    Raises:
        PertprobeError: the file is damaged, refers to other files, costs more than it may, or ends who reads it.
    """
    path = Path(path)
    if path.is_file():
        refuse_pointer(path, str(path))
        facts = path.stat()
        identity = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
        if fault := _fault(str(path.absolute()), tuple(sorted(set(spaces or ()))), identity, patience):
            raise PertprobeError(f"{path} {fault}")


@cache
def _fault(path: str, spaces: tuple[str, ...], identity: tuple[int, ...], patience: float) -> str:
    """Return what is wrong with a file, or nothing; asked once for each `identity`, which the cache knows."""
    command = [sys.executable, "-P", *READER, path, *spaces]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **ONE_THREAD})
        said, heard = _heard(child, patience)
        if not heard:
            ended = f"reading it came to no end (no step in {patience:.0f} s)"
            return f"cannot be read: {ended}: the file is damaged; {REMEDY}"
        if child.returncode < 0:
            name = signal.Signals(-child.returncode).name
            ended = f"reading it ended its process (signal {-child.returncode}, {name})"
            return f"cannot be read: {ended}: the file is damaged; {REMEDY}"
        if child.returncode:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            return f"cannot be read: its reader failed ({''.join(last)[:300]})"
    return json.loads(said.rpartition(b"\n")[2])


def _heard(child: subprocess.Popen, patience: float) -> tuple[bytes, bool]:
    """Return what a child said, and whether it came to its end; one that is silent for too long is killed."""
    said, out = b"", child.stdout.fileno()
    with child.stdout:
        while select.select([out], [], [], patience)[0]:
            if not (more := os.read(out, 65536)):
                child.wait()
                return said, True
            said += more
    child.kill()
    child.wait()
    return said, False
