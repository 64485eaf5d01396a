"""What the child of `pertprobe.readers.apart` runs: a file read through, a dot for each step, the fault at the end."""

import json
import os
import sys
import time
from contextlib import suppress

import h5py

from pertprobe.readers.budget import Refused
from pertprobe.readers.h5ad import WholeCheck

MEMORY_BYTES = 4 * 2**30
"""Of addresses, the library's own among them: what lies about its size fails to get more."""
BEAT_SECONDS = 1.0


class Pulse:
    """Writes a dot now and then, so that whoever waits knows that reading goes on."""

    def __init__(self) -> None:
        """Begin."""
        self.last = 0.0

    def __call__(self) -> None:
        """Write a dot, at most one a second."""
        if time.monotonic() - self.last > BEAT_SECONDS:
            os.write(1, b".")
            self.last = time.monotonic()


def limit_memory() -> None:
    """Let this process have no more than it may, where the system can say so."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def fault_of(path: str, spaces: list[str]) -> str:
    """Return what is wrong with an h5ad, as the end of a sentence that begins with its path; or nothing."""
    again = "; if truncated, copy or download it again"
    try:
        with h5py.File(path, "r") as file:
            WholeCheck(file, os.path.getsize(path), Pulse()).run(spaces)
    except Refused as error:
        return f"is refused, since it {error}. Write all of it into one file with anndata, and give that"
    except MemoryError:
        return f"cannot be read as an h5ad (a part of it asks for more than {MEMORY_BYTES:,} bytes){again}"
    except Exception as error:  # a damaged file can raise anything, and this process reads nothing else
        words = " ".join((str(error) or repr(error)).split())[:300]
        return f"cannot be read as an h5ad ({words}){again}"
    return ""


if __name__ == "__main__":
    limit_memory()
    fault = fault_of(sys.argv[1], sys.argv[2:])
    os.write(1, b"\n" + json.dumps(fault).encode())
