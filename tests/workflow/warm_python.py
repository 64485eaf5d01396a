"""A Python that has loaded what jobs load: every script that is handed to it runs in a fork, spared of the loading.

Three in four seconds of a job of the tiny demo go by while libraries load. Of this package nothing is loaded here: a
fork finds its modules, as any job does, in the copy of the project that it runs in.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

LOADED = ("torch", "pandas", "xarray", "h5netcdf", "anndata", "scipy.stats", "matplotlib.figure", "jsonschema")
FOLDER = Path(__file__).parent / "warm"
"""On the path of a process, it hands scripts over."""
MOST = 2**20
"""Bytes of what is handed over."""


@contextlib.contextmanager
def warm_python() -> Iterator[dict[str, str]]:
    """Start one, and stop it in the end; return the environment of processes whose scripts it is to run.

    It has one thread, as every job sees to for itself.
    """
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    path = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(f"{folder}/door")
            door.listen(64)  # before it runs: who comes early waits
            command = [sys.executable, __file__, str(door.fileno())]
            process = subprocess.Popen(command, pass_fds=[door.fileno()], env={**os.environ, **threads})
        try:  # the door is open as long as it lives: no job waits in vain
            yield {"PERTPROBE_TEST_WARM": f"{folder}/door", "PYTHONPATH": path}
        finally:
            process.kill()
            process.wait()


def serve(door: socket.socket) -> None:
    """Load the libraries, then run whatever is handed over, each in a fork."""
    for name in LOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        guest, _ = door.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            guest.sendall(str(run(guest)).encode())
            os._exit(0)
        guest.close()


def run(guest: socket.socket) -> int:
    """Become the process that handed its script over, run it, and return its exit status."""
    said, files, _, _ = socket.recv_fds(guest, MOST, 3)
    while more := guest.recv(MOST):
        said += more
    asked = json.loads(said)
    for place, file in enumerate(files):
        os.dup2(file, place)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = [asked["script"]]
    sys.path[:1] = [os.path.dirname(asked["script"]), *os.environ["PYTHONPATH"].split(os.pathsep)]
    try:
        runpy.run_path(asked["script"], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    else:
        status = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
