"""What a file holds, as its SHA-256: a change is noticed whatever its date, and what is unchanged is not read again.

A file that has been read whole is known again by its length, times and inode, and by a sample of its blocks. No program
can set the time of the last change that the system keeps (ctime), so that what is written in place, or copied with an
older date, is noticed on every file system that keeps it; the sample is for those that do not.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pertprobe.files import atomic

KNOWN_FILES = Path(".snakemake/pertprobe/known_files.json")
"""Where it is kept what was read, below the folder that a run is started in: runs over the same files share it."""
VERIFY = "PERTPROBE_VERIFY"
"""Environment variable: where it is set, every file is read whole, those too that look as they did."""
BLOCK, BLOCKS = 2**14, 8
"""Bytes of a block of the sample, and their number: a file of no more than all of them is read whole each time."""
RECENT = 2 * 10**9
"""Nanoseconds: a file changed so shortly before it was read may change once more without another time."""
LARGE = 2 * 10**9
"""Bytes: of a file from here on it is said that it is read, since that takes a while."""
MARK = ".snakemake_timestamp"
"""What Snakemake puts into folders that jobs made."""
CACHE = "__pycache__"
"""What Python puts into folders of code."""


class Known(NamedTuple):
    """A file that was read whole."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sample: str
    """SHA-256 of some of its blocks."""
    sha256: str
    settled: bool = True
    """Whether its times tell it from what it might become next."""

    def fits(self, path: str | Path) -> bool:
        """Is this the file as it was read? Few blocks of it are read."""
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            return _times(stat) == self[:4] and _sample(file, stat.st_size) == self.sample


def read_whole(path: str | Path) -> Known:
    """Read all of a file, and return how it is known again."""
    with open(path, "rb") as file:
        stat, now = os.fstat(file.fileno()), time.time_ns()
        whole = hashlib.file_digest(file, "sha256").hexdigest()
        sample = _sample(file, stat.st_size)
    return Known(*_times(stat), sample, whole, now - max(stat.st_mtime_ns, stat.st_ctime_ns) > RECENT)


def _times(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _sample(file: BinaryIO, size: int) -> str:
    """Return the hash of the first and last block of an open file and of some between; of a small one, of all of it."""
    digest = hashlib.sha256()
    for place, length in [(0, size)] if _small(size) else [(place, BLOCK) for place in _places(size)]:
        file.seek(place)
        digest.update(file.read(length))
    return digest.hexdigest()


def _small(size: int) -> bool:
    """Is a file so small that it is read whole each time?"""
    return size <= BLOCK * BLOCKS


def _places(size: int) -> Iterator[int]:
    """Yield where the blocks of the sample begin: spread as by chance, and the same for every file of this length."""
    yield from (0, size - BLOCK)
    for number in range(BLOCKS - 2):
        spread = hashlib.sha256(f"{size} {number}".encode()).digest()
        yield int.from_bytes(spread[:8], "big") % (size - BLOCK)


class KnownFiles:
    """Remembers which files were read whole; within one process, the first answer about a file is the only one."""

    def __init__(
        self,
        kept: str | Path | None = KNOWN_FILES,
        verify: bool | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Read what is kept at `kept` (None: nothing is), and remember there what is read.

        With `verify` every file is read whole; by default it is as `VERIFY` says. `say` is told what takes long.
        """
        self._path, self._say = Path(kept) if kept else None, say
        self._verify = bool(os.environ.get(VERIFY)) if verify is None else verify
        self._kept = _read(self._path)
        self._told: dict[str, str] = {}

    def sha256(self, path: str | Path) -> str:
        """Return the hex SHA-256 of a file's bytes; raises OSError for what cannot be read."""
        name = os.path.abspath(path)
        if name not in self._told:
            self._told[name] = self._sha256(name)
        return self._told[name]

    def _sha256(self, name: str) -> str:
        known = self._kept.get(name)
        if known and known.settled and not self._verify and known.fits(name):
            return known.sha256
        if (size := os.path.getsize(name)) >= LARGE:
            self._say(f"Reading {name} ({size / 10**9:.0f} GB), to know it again when it is asked for next.")
        found = read_whole(name)
        if not _small(size):
            self._keep(name, found)
        return found.sha256

    def holds(self, path: str | Path, known: Known) -> bool:
        """Does a file hold what it held when it was read whole? Raises OSError for what cannot be read."""
        if not self._verify and known.fits(path):
            return True
        return os.path.getsize(path) == known.size and self.sha256(path) == known.sha256

    def remembered(self, path: str | Path) -> str:
        """Return what was last known of a file, unread if it is not small; nothing of one that is not known."""
        if _small(os.path.getsize(path)):
            return self.sha256(path)
        known = self._kept.get(os.path.abspath(path))
        return known.sha256 if known else ""

    def _keep(self, name: str, found: Known) -> None:
        """Add a file to what is kept, beside what others added meanwhile; where nothing can be written, go without."""
        if self._path is None:
            return
        self._kept = {**_read(self._path), **self._kept, name: found}
        with suppress(OSError), atomic(self._path) as temporary:
            temporary.write_text(json.dumps(self._kept))


def _read(path: Path | None) -> dict[str, Known]:
    """Return file -> how it is known again; nothing where that was never written, or is damaged."""
    if path is None:
        return {}
    try:
        return {name: Known(*entry) for name, entry in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def files_below(path: str | Path) -> dict[str, Path]:
    """Return name -> file of all files in a folder, links followed, by name; a file is alone, under its own name."""
    root = Path(path)
    if not root.is_dir():
        return {root.name: root} if root.is_file() else {}
    found: dict[str, Path] = {}
    visited = {root.resolve()}
    for folder, inner, names in os.walk(root, followlinks=True):
        inner[:] = [each for each in sorted(inner) if each != CACHE and _first_visit(Path(folder, each), visited)]
        files = (Path(folder, name) for name in names if name != MARK)
        found |= {file.relative_to(root).as_posix(): file for file in files if file.is_file()}
    return dict(sorted(found.items()))


def _first_visit(folder: Path, visited: set[Path]) -> bool:
    """Was a folder not seen before? One that links to where it lies would be walked for ever."""
    real = folder.resolve()
    new = real not in visited
    visited.add(real)
    return new
