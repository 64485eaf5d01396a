"""Models of known kind, fitted to the cells of a run: what stands beside every model that is asked for its mechanism.

A lookup knows nothing but a table of what knock-downs were observed to do. Two of co-variation add the same table to
what they make of a cell: principal components, and an autoencoder, both of control cells alone. Where the run names a
network of regulators, its equations are a mechanism, and answer codes by themselves.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from pertprobe.data.regulons import Regulons
from pertprobe.models.known.model import KnownModel
from pertprobe.models.known.readings import Reading, as_they_are, components, equations
from pertprobe.models.rivals.autoencoder import Autoencoder, Size
from pertprobe.roles import AUTOENCODER, COMPONENTS, KNOWN, LOOKUP, NETWORK
from pertprobe.seeding import seed_of
from pertprobe.shapes import Array, Num

NUMBER = 15
"""Principal components of the model of co-variation; no rival has as many (`rivals.linear`)."""
SIZE = Size(64, 12)
"""Of its autoencoder, which is drawn from another seed than any rival."""


def known_models(
    controls: Num[Array, "cell gene"],
    table: pd.DataFrame,
    network: Regulons | None,
    *,
    context: str,
    seed: int,
    kinds: Collection[str] = KNOWN,
    **names: Any,
) -> dict[str, KnownModel]:
    """Return kind -> model.

    Args:
        controls: control cells of the context.
        table: observed mean change of each perturbation [perturbation, gene]; zero for the control.
        network: who acts on whom; None: it is not known, and there is no such model.
        context: of the cells.
        seed: of the run; the autoencoder is drawn by both.
        kinds: those that are wanted.
        names: `control` and `set_size` of the model beside which they stand.
    """
    genes, perturbations = table.columns.tolist(), table.index.tolist()
    readings: dict[str, Callable[[], nn.Module]] = {
        LOOKUP: lambda: as_they_are(controls),
        COMPONENTS: lambda: components(controls, min(NUMBER, len(genes))),
        AUTOENCODER: lambda: Autoencoder.fitted(controls, SIZE, seed_of(seed, "known", context)),
    }
    if network is not None:
        readings[NETWORK] = lambda: equations(
            controls, [np.flatnonzero(own) for own in network.matrix(genes, genes)[0].T]
        )
    axes = {"genes": genes, "perturbations": perturbations, **names}
    models = {}
    for kind in (kind for kind in readings if kind in kinds):
        reading = readings[kind]()
        changes = _propagated(reading, genes, perturbations) if kind == NETWORK else table.to_numpy()
        models[kind] = KnownModel(kind, reading, changes, **axes)
    return models


def observed_table(observed: pd.DataFrame, card: Mapping[str, Any]) -> pd.DataFrame:
    """Return the change of each perturbation of a model [perturbation, gene]; zero where none was observed."""
    return observed.reindex(index=card["perturbations"], columns=card["genes"], fill_value=0.0)


def _propagated(reading: Reading, genes: Sequence[str], perturbations: Sequence[str]) -> np.ndarray:
    """Return what equations say of each perturbation: its gene taken away from the mean cell; zero for no gene."""
    mean, effects = (np.asarray(each, dtype=np.float64) for each in (reading.mean, reading.matrix_0))
    changes = np.zeros((len(perturbations), len(genes)))
    place = {gene: i for i, gene in enumerate(genes)}
    for row, name in enumerate(perturbations):
        if name in place:
            changes[row] = -mean[place[name]] * effects[place[name]]
    return changes
