"""Where the files of a State model directory lie, under the names of any State version. Opens none."""

import re
from pathlib import Path

from pertprobe.errors import PertprobeError

CHECKPOINT = "checkpoints/final.ckpt"
"""The usual name of the weights."""
LEVELS = 3
"""Levels of folders below a given one in which State model directories are looked for."""


def needed(root: Path, checkpoint: str | None = None) -> dict[str, Path | None]:
    """Return usual name -> file of all without which there is no model; None for one that is absent.

    `checkpoint` is a file in the directory, in `checkpoints/`, or elsewhere; by default final, last, best or the last
    step. Raises PertprobeError where it is named and absent.
    """
    return {
        "config.yaml": _first(root, "config.yaml"),
        "var_dims.pkl": _first(root, "var_dims.pkl"),
        "pert_onehot_map.pt": _first(root, "pert_onehot_map.pt", "pert_onehot_map.torch", "pert_onehot_map.pkl"),
        CHECKPOINT: _checkpoint(root, checkpoint),
    }


def directories_below(root: Path) -> list[str]:
    """Return the State model directories a few levels below a folder, which may be the root of a machine's files."""
    found = (each for levels in range(1, LEVELS + 1) for each in root.glob("*/" * levels + "var_dims.pkl"))
    return sorted(str(each.parent.relative_to(root)) for each in found)


def batch_map(root: Path) -> Path | None:
    """Return the file of batch labels; None where there is none."""
    return _first(root, "batch_onehot_map.torch", "batch_onehot_map.pkl", "batch_onehot_map.pt")


def cell_type_map(root: Path) -> Path | None:
    """Return the file of the contexts that were trained on; None where there is none."""
    return _first(root, *(f"cell_type_onehot_map{suffix}" for suffix in (".torch", ".pkl", ".pt")))


def place(file: Path, root: Path) -> str:
    """Return the name of a file in the directory; a checkpoint from elsewhere has its own."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name


def _first(root: Path, *names: str) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)


def _checkpoint(root: Path, chosen: str | None) -> Path | None:
    if chosen is not None:
        if file := _first(root, chosen, f"checkpoints/{chosen}", f"checkpoints/{chosen}.ckpt"):
            return file
        there = ", ".join(sorted(file.name for file in root.glob("**/*.ckpt"))) or "none"
        raise PertprobeError(f"checkpoint: '{chosen}' is not in {root} (found: {there})")
    named = [f"{folder}{name}.ckpt" for folder in ("checkpoints/", "") for name in ("final", "last", "best")]
    steps = {int(re.findall(r"step=(\d+)", file.name)[-1]): file for file in root.glob("checkpoints/*step=*.ckpt")}
    return _first(root, *named) or (steps[max(steps)] if steps else None)
