"""Writing that leaves nothing half done, tables among it, and hashes of what was read."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

CAPTION = ".caption.txt"
"""How the name of a figure's caption ends."""


AS_TEXT = dict.fromkeys(
    ("probe", "statistic", "model", "reference", "context", "program", "panel", "perturbation", "gene", "named_by"), str
)
"""Types of the columns of any table that hold names: 006955 is a name, and stays as it is written."""


class TextOf(str):
    """The path of a text that is read when it is asked for: whoever keeps or compares it has the path alone."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """What the file says now."""
        return Path(self).read_text(encoding="utf-8")


@contextmanager
def atomic(target: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `target`; replace the target on success, remove the temporary on failure.

    The temporary keeps the suffix of the target, since writers choose their format by it. A directory replaces a
    directory. What a killed job left of the same target is removed first.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".writing-{target.name}-"
    for abandoned in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    holder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    temporary = holder / target.name
    try:
        yield temporary
        if temporary.is_dir() and target.is_dir():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def copy(source: str | Path, target: str | Path) -> None:
    """Copy a file, all or nothing."""
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def write_json(value: Any, path: str | Path) -> None:
    """Write a value as JSON, keys sorted, all or nothing."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_table(table: "pd.DataFrame", path: str | Path, digits: int = 10) -> None:
    """Write a table as TSV without its index, floats with so many digits, all or nothing."""
    with atomic(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format=f"%.{digits}g")


def read_table(path: str | Path, texts: Collection[str]) -> "pd.DataFrame":
    """Read a table that `write_table` wrote: `texts` are columns of words, in which nothing is no missing number."""
    import pandas as pd

    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in table.columns if name not in texts})


def sha256(path: str | Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
