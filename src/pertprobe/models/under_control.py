"""A model under its control against the control cells: are these the values that it was trained on?"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pertprobe.data.cell_sets import CellSets

if TYPE_CHECKING:
    from pertprobe.models.base import Model

CLOSE = 0.15
"""Distance up to which a model gives back the cells it is shown. Well-trained State models on their own cells: 0.06 to
0.11; the same cells as log2: 0.22 to 0.33, at 1.5 times the scale 0.24 to 0.36, at half the scale 0.67 to 0.98, logged
twice 0.53 to 0.76, not logged 0.58 to 0.78 (methods.md, The census of the inputs)."""
FAR = 0.5
"""Distance above which a model knows nothing of such cells. Little-trained State models reach 0.38 on their own."""
CLEARLY = 0.6
"""Share of the distance that another scale must leave at most to be named as the one that the model knows."""
OTHERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "log2(1 + x)": lambda values: values * np.log(2),
    "log10(1 + x)": lambda values: values * np.log(10),
    "not logged": lambda values: np.log1p(np.maximum(values, 0)),
    "logged twice": lambda values: np.expm1(np.minimum(values, 20)),
    "1.5 times the scale": lambda values: values / 1.5,
    "half the scale": lambda values: values * 2,
    "twice the scale": lambda values: values / 2,
    "3 times the scale": lambda values: values / 3,
}
"""What cells may hold -> what brings them to the scale of a model that reads log1p."""


class UnderControl(NamedTuple):
    """How far a model under its control is from the cells that it is shown."""

    distance: float
    """|mean prediction - mean cell| / |mean cell| over the genes that it reads and predicts."""
    scale: str
    """What the cells look like to the model, a key of `OTHERS`; empty where no scale is clearly nearer than theirs."""
    at_scale: float
    """Distance once they are brought from there to the scale that the model knows."""


def comparable(model: "Model") -> bool:
    """Return whether a model predicts the genes that it reads, so that its control is to leave cells as they are."""
    return bool({"predict", "gene_space"} <= model.capabilities)


def under_control(model: "Model", cells: CellSets) -> UnderControl:
    """Return how far the model's answer to its control is from the cells, and at which scale it would be nearest.

    Args:
        model: one that is `comparable`.
        cells: sets of control cells, of the model's genes.
    """
    values, batches = cells.values.astype(np.float32), cells.batches if model.batches else None
    distance = _distance(model, values, batches)
    if distance <= CLOSE / 2:
        return UnderControl(distance, "", distance)
    others = {name: _distance(model, undo(values).astype(np.float32), batches) for name, undo in OTHERS.items()}
    best = min(others, key=others.get)
    if others[best] <= CLEARLY * distance and distance > CLOSE:
        return UnderControl(distance, best, others[best])
    return UnderControl(distance, "", distance)


def _distance(model: "Model", values: np.ndarray, batches: np.ndarray | None) -> float:
    """Return |mean prediction - mean cell| / |mean cell| of cells [set, cell, gene]."""
    import torch

    with torch.no_grad():
        predicted = [
            model.predict_genes(each, model.control, None if batches is None else batches[i]).cpu().numpy()
            for i, each in enumerate(values)
        ]
    place = {name: column for column, name in enumerate(model.output_genes)}
    mean = values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64)
    given = np.concatenate(predicted).mean(axis=0, dtype=np.float64)[[place[name] for name in model.genes]]
    size = np.linalg.norm(mean)
    return float(np.linalg.norm(given - mean) / size) if size > 0 else float("inf")
