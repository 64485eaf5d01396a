"""Write envs/pertprobe.yaml: the direct dependencies of pyproject.toml at the versions of requirements.lock."""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
CONDA_NAMES = {"torch": "pytorch"}
"""Names that differ on conda-forge."""


def environment(pyproject: Path, lock: Path) -> str:
    """Return the text of the environment; torch, which the lock leaves out, takes its range from pyproject.toml."""
    project = tomllib.loads(pyproject.read_text())["project"]
    versions = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))
    lines = []
    for requirement in project["dependencies"]:
        name, bounds = re.match(r"([a-z0-9-]+)(.*)", requirement).groups()
        pin = f"={versions[name]}" if name in versions else bounds
        lines.append(f"  - {CONDA_NAMES.get(name, name)}{pin}")
    head = "# Made by `make lock` from pyproject.toml and requirements.lock; a test keeps it equal to them."
    return "\n".join([head, "channels: [conda-forge]", "dependencies:", "  - python=3.11", *lines]) + "\n"


if __name__ == "__main__":
    (HERE / "pertprobe.yaml").write_text(environment(HERE.parent / "pyproject.toml", HERE.parent / "requirements.lock"))
