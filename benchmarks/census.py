"""Time and memory of the census at the size of a genome-wide screen: `python benchmarks/census.py`.

Writes 134,000 cells x 2,000 genes (sparse, and dense with --form dense) into a temporary folder, which is removed, and
takes the census of all of them in a process of its own, the scale of their groups with it. Ends with status 1 above
60 s or 1 GB.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

SECONDS, MEGABYTES = 60.0, 1000.0
"""Limits on one core."""
PART = 10_000
"""Cells drawn at once."""
SOURCE = {
    "context": "a", "context_column": "line", "perturbation_column": "gene", "batch_column": "batch", "control": "ctrl",
}  # fmt: skip


def write_screen(path: Path, n_cells: int, n_genes: int, form: str) -> None:
    """Write cells of 1,035 perturbations and 50 batches, log1p of counts of which a fifth are not zero."""
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.3, 1.0, n_genes)
    parts = []
    for start in range(0, n_cells, PART):
        counts = rng.poisson(rates * rng.lognormal(0, 0.3, (min(PART, n_cells - start), 1)))
        values = np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * 600).astype(np.float32)
        parts.append(sparse.csr_matrix(values) if form == "csr" else values)
    label = rng.integers(0, 1036, n_cells)
    obs = pd.DataFrame({
        "gene": pd.Categorical(np.where(label == 0, "ctrl", np.char.add("g", label.astype(str)))),
        "line": pd.Categorical(["a"] * n_cells),
        "batch": pd.Categorical(rng.integers(0, 50, n_cells).astype(str)),
    })  # fmt: skip
    obs.index = [f"c{i}" for i in range(n_cells)]
    X = sparse.vstack(parts, "csr") if form == "csr" else np.concatenate(parts)
    anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])).write_h5ad(path)


def count(path: str) -> None:
    """Take the census of a file; print seconds and megabytes."""
    from pertprobe.data.cells import CellSource
    from pertprobe.data.census import take_census
    from pertprobe.data.census_findings import cell_findings, group_findings
    from pertprobe.data.scale import scales_of_groups

    start, where = time.perf_counter(), CellSource(**SOURCE)
    census = take_census(path, **SOURCE)
    found = [*cell_findings("cells", census, where)]
    found += group_findings("cells", census, scales_of_groups(path, census, **SOURCE), where)
    seconds = time.perf_counter() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(census.cells)} cells x {len(census.genes)} genes: {seconds:.1f} s, {megabytes:.0f} MB")
    sys.exit(int(seconds > SECONDS or megabytes > MEGABYTES))


def main() -> None:
    """Write the screen, and count it, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=134_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--form", choices=["csr", "dense"], default="csr")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--count", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write_screen(Path(given.write), given.cells, given.genes, given.form)
        return
    if given.count:
        count(given.count)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "screen.h5ad")
        # A process begins with the largest memory of the one that started it: both are started by this small one.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--write", path], check=True)
        sys.exit(subprocess.run([sys.executable, __file__, "--count", path], check=False).returncode)


if __name__ == "__main__":
    main()
