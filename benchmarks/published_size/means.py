"""What a model of the stand-in is fitted to: mean cells of every group, and how cells vary."""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from pertprobe.data.h5ad import CellFile
from published_size.plan import CONTEXTS, CONTROL, Plan

SAMPLE = 4096
"""Control cells whose variation is read."""


class Means(NamedTuple):
    """Of one context."""

    control: np.ndarray
    """[cells, genes]: some control cells."""
    shifts: np.ndarray
    """[perturbations, genes]: mean of each perturbation's cells less that of all control cells."""


def read_means(path: Path, plan: Plan) -> dict[str, Means]:
    """Return the means of each context, read once from front to end: groups lie one behind the other."""
    with CellFile(path) as file:
        labels, contexts = file.column("obs", "gene"), file.column("obs", "cell_line")
    starts = np.flatnonzero(np.r_[True, (labels[1:] != labels[:-1]) | (contexts[1:] != contexts[:-1])])
    ends = np.r_[starts[1:], len(labels)]
    row = dict(zip(plan.perturbations, range(len(plan.perturbations)), strict=True))
    found = {context: [None, np.zeros((len(row), len(plan.genes)))] for context in CONTEXTS}
    base = dict.fromkeys(CONTEXTS)
    with h5py.File(path) as file:
        values = file["obsm/X_hvg"]
        for start, end in zip(starts, ends, strict=True):
            context, name = contexts[start], labels[start]
            if name == CONTROL:
                cells = values[start:end]
                found[context][0], base[context] = cells[:SAMPLE], cells.mean(0, dtype=np.float64)
            else:
                found[context][1][row[name]] = values[start:end].mean(0, dtype=np.float64) - base[context]
    return {context: Means(*each) for context, each in found.items()}
