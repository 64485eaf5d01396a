"""Where the workflow lies: its Snakefile, rules, scripts and default config."""

from functools import cache
from pathlib import Path

from pertprobe.errors import PertprobeError

INSIDE = "_workflow"
"""Folder of the installed package that holds the workflow; a checkout has it two folders above the package."""


@cache
def workflow_folder() -> Path:
    """Return the folder of the Snakefile; raises PertprobeError where the package came without one."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / INSIDE, package.parents[1]):
        if (folder / "Snakefile").is_file():
            return folder
    raise PertprobeError(f"no Snakefile in {package / INSIDE} or {package.parents[1]}: install pertprobe again")
