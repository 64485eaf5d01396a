"""Write envs/pertprobe.yaml: the direct dependencies of pyproject.toml at the versions of requirements.lock."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
CONDA_NAMES = {"torch": "pytorch"}
"""Names that differ on conda-forge."""
PYTHON = "3.11"
"""Of the environment."""


def environment(pyproject: Path, lock: Path) -> str:
    """Return the text of the environment; torch, which the lock leaves out, takes its range from pyproject.toml."""
    project = tomllib.loads(pyproject.read_text())["project"]
    versions = locked(lock.read_text())
    lines = []
    for requirement in project["dependencies"]:
        name, bounds = re.match(r"([a-z0-9-]+)(.*)", requirement).groups()
        pin = f"={versions[name]}" if name in versions else bounds
        lines.append(f"  - {CONDA_NAMES.get(name, name)}{pin}")
    head = "# Made by `make lock` from pyproject.toml and requirements.lock; a test keeps it equal to them."
    return "\n".join([head, "channels: [conda-forge]", "dependencies:", f"  - python={PYTHON}", *lines]) + "\n"


def locked(lock: str) -> dict[str, str]:
    """Return the version of each package for the environment's Python: the lock has one for each that it serves."""
    lines = re.findall(r"^([a-z0-9-]+==[^\\\n]+)", lock, re.MULTILINE)
    found = [Requirement(line.strip()) for line in lines]
    python = {"python_full_version": f"{PYTHON}.0", "python_version": PYTHON}
    fit = [each for each in found if each.marker is None or each.marker.evaluate(python)]
    return {each.name: str(each.specifier).removeprefix("==") for each in fit}


if __name__ == "__main__":
    (HERE / "pertprobe.yaml").write_text(environment(HERE.parent / "pyproject.toml", HERE.parent / "requirements.lock"))
