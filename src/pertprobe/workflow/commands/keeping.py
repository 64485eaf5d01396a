"""The file that keeps all that Snakemake says."""

from pathlib import Path
from typing import TextIO


class Log:
    """The file of what Snakemake says. A run that does not get as far as a plan leaves none, and no folder."""

    def __init__(self, path: Path | None) -> None:
        """Write to a path once there is a plan; nowhere if it is None."""
        self.path, self.kept = path, list[str]()
        self.file: TextIO | None = None

    def write(self, line: str, planned: bool) -> None:
        """Keep a line."""
        if self.path is None:
            return
        if self.file is None:
            self.kept.append(line)
            if planned:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.file = self.path.open("w", encoding="utf-8", buffering=1)
                self.file.writelines(self.kept)
        else:
            self.file.write(line)

    def close(self) -> None:
        """End the file, if one was begun."""
        if self.file is not None:
            self.file.close()
