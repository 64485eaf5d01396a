"""Writes the stand-in into a folder, part by part: a part that is there is kept, so that it can be stopped and goes on.

.venv/bin/python benchmarks/published_size/stand_in.py results/published_size
"""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pertprobe.files import atomic
from published_size.cells import write_cells
from published_size.means import read_means
from published_size.models import WANTED, write_model
from published_size.plan import CONTEXTS, PROGRAMS, PUBLISHED, SMALL, Sizes, plan

CELLS, MODELS, TRUTH, SIZES = "cells.h5ad", "models", "truth.tsv", "sizes.json"


def main() -> None:
    """Write what is missing, and say how a run finds it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="few genes, perturbations and cells, to try it")
    arguments = parser.parse_args()
    write_stand_in(arguments.folder, SMALL if arguments.small else PUBLISHED)
    for variable, value in variables(arguments.folder).items():
        print(f"export {variable}={shlex.quote(value)}")


def variables(folder: Path) -> dict[str, str]:
    """Return the environment in which config/replogle.yaml finds the stand-in."""
    return {
        "PERTPROBE_REPLOGLE_CELLS": str((folder / CELLS).resolve()),
        "PERTPROBE_REPLOGLE_MODELS": str((folder / MODELS).resolve()),
    }


def write_stand_in(folder: Path, sizes: Sizes) -> None:
    """Write what is missing; raises ValueError where the folder holds a stand-in of other sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    _settle(folder / SIZES, sizes)
    planned, cells = plan(sizes), folder / CELLS
    _write_truth(folder / TRUTH)
    if not cells.exists():
        write_cells(planned, sizes, cells)
    missing = [each for each in WANTED if not (folder / MODELS / f"{each.name}.toml").exists()]
    means = read_means(cells, planned) if missing else {}
    for each in missing:
        write_model(each, planned, sizes, means, cells.resolve(), folder / MODELS)


def _settle(path: Path, sizes: Sizes) -> None:
    """Write the sizes, or compare them with those that the folder was begun with."""
    text = json.dumps(asdict(sizes), indent=1)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path.parent} holds a stand-in of other sizes. Choose another folder, or remove it.")
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_truth(path: Path) -> None:
    """Write what is planted: program, context, planted, coherent."""
    rows = [
        f"{name}\t{context}\t{each.kind}\t{each.coherent(context)}"
        for name, each in PROGRAMS.items()
        for context in CONTEXTS
    ]
    with atomic(path) as temporary:
        temporary.write_text("\n".join(["program\tcontext\tplanted\tcoherent", *rows, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
