"""A Python that has loaded what jobs load: each job of a run on this machine goes on in a fork of it.

About half of what the jobs of a small run take goes by while libraries load. The first line of a job (workflow/job.py)
hands its script over to this process, which forks and runs it: the same script, folder, environment and files. Of this
package nothing is loaded here, so that a fork finds its modules where the job does. Jobs on other machines, of another
Python or in a container find no door that is theirs, and load for themselves.

This file is run as a script too, and imports nothing of the package.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator

DOOR = "PERTPROBE_WARM"
"""Environment variable: the executable of such a Python, and where it listens; empty: every job loads for itself."""
LOADED = (
    *("torch", "pandas", "xarray", "h5netcdf", "anndata", "scipy.stats", "matplotlib.figure", "jsonschema"),
    *("snakemake.script", "sklearn.decomposition", "matplotlib.backends.backend_pdf"),
    # What torch loads at the first derivative that a job takes.
    *("torch._dynamo", "torch._decomp.decompositions_for_jvp"),
)
"""What is loaded for all jobs."""
LOADING = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")} | {"MPLBACKEND": "Agg"}
"""Environment that libraries read when they load, so that no job could set it later: one thread, and figures drawn into
files, whatever the user's shell shows them with.
"""
PATIENCE = 5.0
"""Seconds that a job whose starter is gone has to tidy up."""
_KEPT: list[subprocess.Popen] = []


@contextlib.contextmanager
def warm_python() -> Iterator[dict[str, str]]:
    """Start one, and stop it in the end; yield the environment of processes whose jobs it is to run."""
    process, environment = _start()
    try:
        yield environment
    finally:
        process.stdin.close()
        process.wait()


def keep_warm() -> None:
    """Start one for the jobs that this process starts; it ends with this process, however that ends.

    Nothing is done where the environment has one, or wants none, where processes cannot be forked safely, or where no
    socket can be made, as in a folder for temporary files of a very long name.
    """
    if DOOR in os.environ or sys.platform != "linux":
        return
    try:
        process, environment = _start()
    except OSError:
        return
    _KEPT.append(process)  # its stdin stays open for as long as this process lives
    os.environ.update(environment)


def _start() -> tuple[subprocess.Popen, dict[str, str]]:
    """Start one that ends when its stdin is closed; it listens at once, and answers when it has loaded."""
    folder = tempfile.mkdtemp(prefix="pertprobe-")
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.bind(f"{folder}/door")
        except OSError:
            os.rmdir(folder)
            raise
        door.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(door.fileno()), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # a fork has those of its job; who reads ours must not wait for this process
            stderr=subprocess.DEVNULL,
            pass_fds=[door.fileno()],
            env={**os.environ, **LOADING},
            start_new_session=True,  # what interrupts a run reaches its jobs through those that started them
        )
    return process, {DOOR: f"{sys.executable}:{folder}/door"}


def run_warm() -> int | None:
    """Run this process's script in a fork of the warm Python and return its exit status; None if there is none."""
    python, _, door = os.environ.get(DOOR, "").rpartition(":")
    if python != sys.executable:
        return None
    with socket.socket(socket.AF_UNIX) as warm:
        try:
            warm.connect(door)
        except OSError:
            return None
        asked = {"script": sys.argv[0], "folder": os.getcwd(), "path": sys.path, "environment": dict(os.environ)}
        message = json.dumps(asked).encode()
        socket.send_fds(warm, [len(message).to_bytes(8, "big")], [0, 1, 2])
        warm.sendall(message)
        try:
            said = warm.recv(3)
        except ConnectionResetError:
            said = b""
    if not said:  # the fork was killed, as it is where memory runs out: so ends this process
        os.kill(os.getpid(), signal.SIGKILL)
    return int(said)


def serve(door: socket.socket, folder: str) -> None:
    """Load the libraries, then run whatever is handed over, each in a fork, until stdin is closed."""
    for name in LOADED:
        with contextlib.suppress(ImportError):  # the jobs that need it say so
            importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for forks: each answers for itself
    while door in select.select([door, sys.stdin], [], [])[0]:
        guest, _ = door.accept()
        if os.fork() == 0:
            door.close()
            status = _serve_one(guest)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits for the answer may be gone once it is given
            with contextlib.suppress(OSError):
                guest.sendall(str(status).encode())
            os._exit(0)
        guest.close()
    shutil.rmtree(folder, ignore_errors=True)


def _serve_one(guest: socket.socket) -> int:
    """Become the process that handed its script over, run it, and return its exit status."""
    said, files, _, _ = socket.recv_fds(guest, 8, 3)
    asked = json.loads(_received(guest, int.from_bytes(said, "big")))
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with, args=[guest], daemon=True).start()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"] | {DOOR: ""})
    sys.argv, sys.path[:] = [asked["script"]], asked["path"]
    status = _status_of(asked["script"])
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _received(guest: socket.socket, length: int) -> bytes:
    """Return a message of this length."""
    parts: list[bytes] = []
    while (missing := length - sum(map(len, parts))) and (part := guest.recv(missing)):
        parts.append(part)
    return b"".join(parts)


def _end_with(guest: socket.socket) -> None:
    """Interrupt this process when the one that handed its script over is gone."""
    guest.recv(1)  # which returns when the other end is closed
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE)
    os._exit(1)


def _status_of(script: str) -> int:
    """Run a script as Python runs one, and return its exit status."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
