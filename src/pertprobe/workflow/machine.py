"""The machine that a run ended on, and the commit of the code where it is a clone."""

import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""The clone, where the package is not installed from a wheel."""


def machine() -> dict[str, str]:
    """Return system, processor, cores, memory and GPUs, as far as Linux says."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _first(Path("/proc/cpuinfo"), r"model name\s*: (.*)"),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GB",
        "GPU": ", ".join(gpus(Path("/proc/driver/nvidia/gpus"))),
    }
    return {name: value for name, value in found.items() if value}


def gpus(folder: Path) -> list[str]:
    """Return the names of NVIDIA GPUs, of which the driver keeps a file each."""
    return [name for each in sorted(folder.glob("*/information")) if (name := _first(each, r"Model:\s*(.*)"))]


def source(root: Path = ROOT) -> dict[str, str]:
    """Return the commit of a clone and whether its files were changed since; nothing of an installed package."""
    if not (root / ".git").exists():
        return {}
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit + (" with changes" if changed else "")} if commit else {}


def _git(root: Path, *command: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _first(path: Path, pattern: str) -> str:
    """Return what a pattern finds first in a file; nothing where there is no such file."""
    if not path.is_file():
        return ""
    found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
    return found[1].strip() if found else ""
