"""What a run made: length and hash of each file, kept beside the results, so that a damaged one is named.

A folder .made in the results has, for each file or folder that a job made, a small file of the same name with what it
held when the job ended. What has no such file is not looked at: it was made by hand, or by an earlier version.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pertprobe.errors import raise_together
from pertprobe.files import write_json
from pertprobe.identity import Known, KnownFiles, files_below, read_whole

FOLDER = ".made"
"""Below the results of a run."""
AGAIN = "Give the same command again: it is made anew, with all that was made of it"


def record(paths: Iterable[str | Path], results: str | Path) -> None:
    """Keep what these files and folders hold; all lie in `results`."""
    for path in map(Path, paths):
        held = {name: read_whole(file) for name, file in files_below(path).items()}
        write_json(held, _record(path, Path(results)))


def forget(paths: Iterable[str | Path], results: str | Path) -> None:
    """Keep nothing of these files and folders, which are about to be made anew."""
    for path in map(Path, paths):
        _record(path, Path(results)).unlink(missing_ok=True)


def check(paths: Iterable[str | Path], results: str | Path, files: KnownFiles) -> None:
    """Raise `Faults` naming all of these files that are not what a job of this run made; others are not looked at."""
    own = [path for path in map(Path, paths) if path.is_relative_to(results)]
    found = [_fault(path, _record(path, Path(results)), files) for path in own]
    raise_together([f"{fault}. {AGAIN}" for fault in found if fault])


def damaged(results: str | Path, files: KnownFiles) -> dict[str, str]:
    """Return path -> what is wrong with it, of all that jobs made in `results` and that is there but not as it was.

    Records of what is gone, as shards are once they are joined, are removed.
    """
    root, found = Path(results) / FOLDER, {}
    for kept in sorted(root.rglob("*.json")):
        path = Path(results) / kept.relative_to(root).with_suffix("")
        if not path.exists():
            with suppress(OSError):
                kept.unlink()
        elif fault := _fault(path, kept, files):
            found[path.as_posix()] = fault
    return found


def _record(path: Path, results: Path) -> Path:
    """Return where it is kept what a file of `results` held."""
    name = Path(os.path.relpath(path, results))
    return results / FOLDER / name.with_name(f"{name.name}.json")


def _fault(path: Path, kept: Path, files: KnownFiles) -> str:
    """Return what is wrong with a file or folder that a job made; nothing where all is as it was."""
    try:
        held = {name: Known(*entry) for name, entry in json.loads(kept.read_text()).items()}
    except FileNotFoundError:
        return ""
    except (ValueError, TypeError, AttributeError):
        return f"{path} cannot be told from a damaged one, since {kept} is damaged"
    folder = path if path.is_dir() else path.parent
    places = {folder / name: known for name, known in held.items()}
    return next((_words(place, known) for place, known in places.items() if not _whole(place, known, files)), "")


def _whole(path: Path, known: Known, files: KnownFiles) -> bool:
    try:
        return files.holds(path, known)
    except OSError:
        return False


def _words(path: Path, known: Known) -> str:
    """Return in what a file differs from what was written."""
    if not path.is_file():
        return f"{path} is damaged: it is gone"
    if (size := path.stat().st_size) != known.size:
        return f"{path} is damaged: it has {size:,} bytes, and {known.size:,} were written"
    return f"{path} is damaged: its {size:,} bytes are not those that were written (SHA-256 {known.sha256})"
