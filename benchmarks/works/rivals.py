"""The rivals of a run and its models of known kind: fitted once, for all models that share cells and genes."""

import numpy as np
import pandas as pd
from measure import Row, peak_mb, seconds

from pertprobe.data.regulons import Regulons
from pertprobe.models.known.fitting import known_models
from pertprobe.models.rivals.answers import Known, fit_rivals, rival_shifts
from pertprobe.seeding import generator

CONTROLS, GENES, PERTURBED, EACH, AXES = 20_000, 2000, 100, 50, 20
"""Control cells, genes, perturbed genes that are inputs, cells of each, axes along which cells vary."""
EDGES = 10_000
"""Of the network."""


def rows() -> list[Row]:
    """Return fitting rivals and known kinds, and asking the rivals in one context."""
    known, names = cells(), [f"gene_{i}" for i in range(PERTURBED)]
    spent = seconds(lambda: fitted(known, names), 1)
    return [
        Row(f"rivals and models of known kind, {CONTROLS:,} control cells", seconds=spent, peak_mb=peak_mb(),
            limits={"seconds": ("at most", 600.0)},
            note=f"once; {GENES:,} genes, {PERTURBED} perturbed genes of {EACH} cells each, {EDGES:,} edges"),
    ]  # fmt: skip


def cells() -> Known:
    """Return cells of one context."""
    rng = generator(0, "rivals")
    n = CONTROLS + PERTURBED * EACH
    values = (rng.normal(size=(n, AXES)) @ rng.normal(size=(AXES, GENES)) + rng.normal(size=(n, GENES)) + 9) / 3
    labels = np.array(["control"] * CONTROLS + [f"gene_{i % PERTURBED}" for i in range(PERTURBED * EACH)])
    genes = tuple(f"gene_{i}" for i in range(GENES))
    return Known(values.astype(np.float32), labels, np.repeat("line", n), "control", genes)


def fitted(known: Known, names: list[str]) -> None:
    """Do what the rule `rivals` does for one model."""
    rival_shifts(fit_rivals(known, names, 0), known, known.values[:256], "line")
    rng = generator(0, "network")
    pairs = rng.integers(0, GENES, (2, EDGES))
    edges = pd.DataFrame(np.array(known.genes)[pairs].T, columns=["source", "target"]).assign(sign=0)
    table = pd.DataFrame(rng.normal(size=(PERTURBED, GENES)), index=names, columns=list(known.genes))
    network = Regulons("drawn", edges[edges.source != edges.target])
    known_models(known.values[known.controls], table, network, context="line", seed=0, control="control")
