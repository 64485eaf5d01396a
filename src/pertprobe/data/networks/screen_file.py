"""A screen as a file of cells, for models that are trained, and cells that are read, as a run does it."""

from pathlib import Path

import numpy as np
import pandas as pd

from pertprobe.data.networks.screen import CONTROL, Screen
from pertprobe.files import atomic

COLUMNS = {
    "context_column": "context", "perturbation_column": "perturbation", "batch_column": "batch", "control": CONTROL,
    "space": "X",
}  # fmt: skip
SOURCE = {**COLUMNS, "genes": "var", "normalisation": "log1p"}
"""Where the cells are found, as a config says it."""


def write_screen(screen: Screen, path: str | Path) -> None:
    """Write all cells of a screen as h5ad (obs: context, perturbation, batch), whole or not at all."""
    from anndata import AnnData  # here: most that need a screen do without

    labels = {"context": screen.contexts, "perturbation": screen.perturbations, "batch": screen.batches.astype(str)}
    obs = pd.DataFrame(labels, index=[f"cell {i}" for i in range(len(screen.values))], dtype=object)
    with atomic(path) as temporary:
        AnnData(screen.values.astype(np.float32), obs=obs, var=pd.DataFrame(index=list(screen.genes))).write_h5ad(
            temporary
        )
