"""Drawing 64 control cells from an h5ad of a million, beside reading it whole."""

import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from measure import Row, peak_mb, seconds

from pertprobe.data.cells import read_cells
from pertprobe.seeding import generator

CELLS, GENES, EXPRESSED, CHUNK = 1_000_000, 2000, 200, 50_000
WHOLE = """
import sys, time, resource, anndata
start = time.perf_counter()
cells = anndata.read_h5ad(sys.argv[1])
cells[cells.obs.perturbation == "non-targeting"].X[:64].toarray()
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
"""
"""What people do: read the file, then take the cells."""


def rows() -> list[Row]:
    """Return drawing from the file, and reading it whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        made = [sys.executable, "-m", "works.reading", path]  # apart: its memory is not the reader's
        subprocess.run(made, check=True, cwd=Path(__file__).resolve().parents[1])
        size = path.stat().st_size / 1e6
        spent = seconds(lambda: drawn(path), 3)
        peak = peak_mb()
        whole = subprocess.check_output([sys.executable, "-c", WHOLE, path], text=True).split()
    rival, rival_peak = map(float, whole)
    work = "64 control cells of 1,000,000 in an h5ad"
    return [
        Row(work, "reading it whole", spent, rival / spent, peak_mb=peak,
            limits={"seconds": ("at most", 60.0), "peak_mb": ("at most", 2000.0)},
            note=f"median of 3; {GENES:,} genes, {EXPRESSED} expressed a cell, {size:,.0f} MB, CSR; the rival once, "
                 f"{rival_peak:,.0f} MB"),
    ]  # fmt: skip


def drawn(path: Path) -> None:
    """Draw the cells as the workflow does."""
    columns = {"context_column": "cell_line", "perturbation_column": "perturbation", "batch_column": "batch"}
    read_cells(path, context="a", control="non-targeting", set_size=64, n_sets=1, seed=0, **columns)


def write(path: Path) -> None:
    """Write the file a chunk of cells at a time."""
    rng = generator(0, "million")
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", labels(rng))
        write_elem(file, "var", pd.DataFrame(index=[f"gene_{i}" for i in range(GENES)]))
        X = file.create_group("X")
        X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (CELLS, GENES)})
        X["indptr"] = np.arange(CELLS + 1, dtype=np.int64) * EXPRESSED
        data = X.create_dataset("data", (CELLS * EXPRESSED,), np.float32, chunks=(CHUNK * 4,))
        indices = X.create_dataset("indices", (CELLS * EXPRESSED,), np.int32, chunks=(CHUNK * 4,))
        for start in range(0, CELLS, CHUNK):
            # Every tenth gene from a random first one: sorted and without repeats, as CSR wants them.
            first = rng.integers(0, GENES // EXPRESSED, (CHUNK, 1))
            part = slice(start * EXPRESSED, (start + CHUNK) * EXPRESSED)
            indices[part] = (first + np.arange(0, GENES, GENES // EXPRESSED)).ravel()
            data[part] = np.log1p(rng.poisson(2.0, CHUNK * EXPRESSED) + 1).astype(np.float32)


def labels(rng: np.random.Generator) -> pd.DataFrame:
    """Return obs: two cell lines, one cell in twenty a control, 2,023 perturbations, 50 batches."""
    perturbation = rng.integers(1, 2024, CELLS).astype(str)
    perturbation[rng.random(CELLS) < 0.05] = "non-targeting"
    lines, batches = np.array(["a", "b"])[rng.integers(0, 2, CELLS)], rng.integers(0, 50, CELLS).astype(str)
    found = pd.DataFrame({"cell_line": lines, "perturbation": perturbation, "batch": batches}).astype("category")
    return found.set_index(pd.Index([f"cell_{i}" for i in range(CELLS)]))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
