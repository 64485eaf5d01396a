"""Files that users give: what is wrong with a path or a text, in words, before anything reads it further."""

import codecs
import os
import re
import stat
from pathlib import Path
from typing import Literal

from pertprobe.errors import PertprobeError, meant

Wanted = Literal["file", "folder", "either"]
POINTER = re.compile(rb"\Aversion https://git-lfs\.github\.com/spec/.*\noid .*\nsize (\d+)\n?", re.DOTALL)
"""What Git leaves of a large file that was not fetched."""
LONGEST_POINTER = 1024
"""Bytes that a pointer has at most, by its specification."""
OTHER_ENCODINGS = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "compressed by gzip",
    b"PK\x03\x04": "a zip archive (an xlsx is one)",
    b"\x89HDF": "an HDF5 file",
}
"""First bytes of what is no text in UTF-8 -> what it is."""
CLOSED = "may not be read by this user (permission denied)"
IN_MODELS = 2
"""Levels of folders below a given one whose files are looked at."""


def path_fault(path: str | Path, wanted: Wanted = "file") -> str:
    """Return what keeps a path from being read as a file, a folder or either of them; empty where nothing does.

    A relative path is told with the folder that it was looked for in. Of a folder all files that Git left pointers of
    are named.
    """
    path = Path(path)
    try:
        found = path.stat()
    except OSError as error:
        return _unseen(path, error)
    if stat.S_ISDIR(found.st_mode):
        if wanted == "file":
            return f"{path} is a folder where a file is needed"
        return "; ".join(_pointers(path)) if os.access(path, os.R_OK | os.X_OK) else f"{path} {CLOSED}"
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is neither a file nor a folder"
    if wanted == "folder":
        return f"{path} is a file where a folder is needed"
    if not os.access(path, os.R_OK):
        return f"{path} {CLOSED}"
    return f"{path} is empty (0 bytes)" if not found.st_size else _pointer(path)


def _unseen(path: Path, error: OSError) -> str:
    """Say why nothing is found at a path."""
    if os.path.islink(path):
        return f"{path} is a link to {os.readlink(path)}, which does not exist"
    if not isinstance(error, FileNotFoundError):
        return f"{path} cannot be read ({error.strerror})"
    place = "" if path.is_absolute() else f" (looked for in {Path.cwd()})"
    missing = next((each for each in reversed(path.parents) if not each.exists()), None)
    above = f": there is no folder {missing}" if missing is not None else ""
    near = meant(path.name, os.listdir(path.parent)) if missing is None and os.access(path.parent, os.R_OK) else ""
    return f"{path} does not exist{place}{above}.{near}".removesuffix(".")


def _pointers(folder: Path) -> list[str]:
    """Return what is to be said of the pointers of Git in a folder and in those below it."""
    found = []
    for place, folders, names in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= IN_MODELS:
            folders.clear()
        found += [_pointer(Path(place) / name) for name in sorted(names)]
    return [each for each in found if each]


def _pointer(path: Path) -> str:
    """Say that a file is a pointer of Git; empty where it is none."""
    size = lfs_size(path)
    return "" if size is None else f"{path} is a Git LFS pointer of {size} bytes: fetch the file (git lfs pull)"


def lfs_size(path: str | Path) -> int | None:
    """Return how many bytes the file has that a Git LFS pointer stands for; None where it is no pointer."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > LONGEST_POINTER:
            return None
        with open(path, "rb") as file:
            found = POINTER.match(file.read(LONGEST_POINTER))
    except OSError:
        return None
    return int(found[1]) if found else None


def read_text(path: str | Path) -> str:
    """Return the text of a file in UTF-8, without the mark that some programs begin it with.

    Raises PertprobeError, which does not name the file, where it cannot be read or is no such text.
    """
    path = Path(path)
    try:
        found = path.read_bytes()
    except OSError as error:
        raise PertprobeError(f"cannot be read ({error.strerror})") from error
    if (size := lfs_size(path)) is not None:
        raise PertprobeError(f"is a Git LFS pointer of {size} bytes: fetch the file (git lfs pull)")
    for first, what in OTHER_ENCODINGS.items():
        if found.startswith(first):
            raise PertprobeError(f"cannot be read (not a text file in UTF-8: {what}). Save it as text in UTF-8")
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = found[: error.start].count(b"\n") + 1
        where = f"line {line} holds the byte 0x{found[error.start]:02x}, as files in Latin-1 do"
        raise PertprobeError(f"cannot be read (not a text file in UTF-8: {where}). Save it as UTF-8") from error
    if "\0" in text:
        raise PertprobeError("cannot be read (not a text file: it holds zero bytes). Save it as text in UTF-8")
    return text
