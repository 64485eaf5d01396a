"""A small screen as a file: counts of two batches, logged, with what a test does to it."""

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

SOURCE = {
    "context_column": "line", "context": "a", "perturbation_column": "gene", "batch_column": "batch",
    "control": "ctrl", "space": "X",
}  # fmt: skip
GENES = [f"G{i:02d}" for i in range(40)]
N = 240


def counted(seed=0):
    """Return counts [cell, gene]."""
    rng = np.random.default_rng(seed)
    return rng.poisson(0.3 + rng.gamma(0.6, 2.0, len(GENES)), (N, len(GENES)))


def logged(counts):
    totals = counts.sum(axis=1, keepdims=True)
    return np.log1p(counts / np.maximum(totals, 1) * np.median(totals)).astype(np.float32)


def labels():
    """Return obs: 80 control cells, 4 perturbations, two batches, all mixed."""
    gene = np.array(["ctrl"] * 80 + [GENES[i] for i in range(4) for _ in range(40)])
    return pd.DataFrame(
        {"gene": gene, "line": "a", "batch": np.where(np.arange(N) % 2, "b1", "b2")},
        index=[f"c{i:03d}" for i in range(N)],
    )


def screen(path, values=None, obs=None, form="dense", **parts):
    """Write a screen; `form` is how X is stored; `parts` are obsm, uns, layers."""
    values = logged(counted()) if values is None else values
    stored = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[form](values)
    cells = anndata.AnnData(stored, obs=labels() if obs is None else obs, var=pd.DataFrame(index=GENES))
    for part, held in parts.items():
        for name, each in held.items():
            getattr(cells, part)[name] = each
    cells.write_h5ad(path)
    return str(path)
