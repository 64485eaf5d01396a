"""Paths that users give: what keeps each from being read, in words, before anything reads it further."""

import os
import stat
from pathlib import Path
from typing import Literal

from pertprobe.errors import meant
from pertprobe.readers.budget import pointer_words

Wanted = Literal["file", "folder", "either"]
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
    words = pointer_words(path)
    return f"{path} {words}" if words else ""
