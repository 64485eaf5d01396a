"""What every rival answers to every silenced gene: fitted on control cells, and on all cells without those of the gene.

Two tiers, since a model may have learned from either. Of the second, perturbations are dealt into folds, and what is
asked of a gene is answered by a rival that was fitted without the cells of its fold.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from pertprobe.models.rivals.linear import linear_rivals
from pertprobe.shapes import Array, Num, Shaped
from pertprobe.statistics.arrays import Floats, Integers

if TYPE_CHECKING:
    from pertprobe.models.rivals.autoencoder import Autoencoder

FOLDS = 5
CONTROL_NETS, ALL_NETS = slice(None), slice(1, 2)
"""Which of the sizes of autoencoders are fitted to control cells, and to all cells of each fold."""


class Known(NamedTuple):
    """The cells that rivals learn from, of every context."""

    values: Num[Array, "cell gene"]
    perturbations: Shaped[Array, " cell"]
    """Perturbation of each cell."""
    contexts: Shaped[Array, " cell"]
    """Its context."""
    control: str
    genes: Sequence[str]

    @property
    def controls(self) -> np.ndarray:
        """Return which cells are control cells [cell]."""
        return self.perturbations == self.control


class Rivals(NamedTuple):
    """What was fitted once, and answers in every context."""

    names: Sequence[str]
    """The genes that can be silenced."""
    changes: Mapping[str, Floats]
    """Linear rival -> change of every gene for one unit more of each [name, gene]."""
    nets: Mapping[str, Sequence[tuple["Autoencoder", Integers]]]
    """Autoencoders -> each with the positions of the names that it answers."""


def fit_rivals(known: Known, names: Sequence[str], seed: int, further: Sequence[str] = ()) -> Rivals:
    """Fit the rivals that all contexts share: to all control cells, and to all cells without those of a gene.

    Args:
        known: the cells.
        names: genes that will be silenced; the perturbation of one is named as it is.
        seed: of autoencoders.
        further: genes that will be silenced too and are not knocked down: they change no fold, nor what is fitted.
    """
    every = [*names, *further]
    everyone = np.arange(len(every))
    changes = _named("control", linear_rivals(_of(known, known.controls), _places(known, every)))
    nets = {
        f"control_{name}": [(net, everyone)]
        for name, net in _nets(known, known.controls, CONTROL_NETS, "control", seed).items()
    }
    for fold, (kept_out, others) in enumerate(zip_longest(_folds(names), _folds(further), fillvalue=())):
        chosen = ~np.isin(known.perturbations, [names[k] for k in kept_out])
        asked = np.array([*kept_out, *(len(names) + k for k in others)], dtype=np.intp)
        mine = [every[k] for k in asked]
        for name, change in linear_rivals(_of(known, chosen), _places(known, mine)).items():
            changes.setdefault(f"all_{name}", np.zeros((len(every), len(known.genes))))[asked] = change
        for name, net in _nets(known, chosen, ALL_NETS, f"all {fold}", seed).items():
            nets.setdefault(f"all_{name}", []).append((net, asked))
    return Rivals(every, changes, nets)


def rival_shifts(
    rivals: Rivals,
    known: Known,
    cells: Num[Array, "cell gene"],
    context: str,
    left: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
) -> xr.Dataset:
    """Return what rivals answer to silenced genes: shift [rival, perturbation, gene], mean over control cells.

    Beside those that were fitted to all contexts stand linear ones of the control cells of this context alone.

    Args:
        rivals: those of all contexts.
        known: what they were fitted to.
        cells: the control cells in which genes are silenced, genes in the order of `known`.
        context: of these cells.
        left: the share of its expression that each gene keeps; None: nothing.
        names: the genes that are silenced; None: all that rivals can answer.
    """
    from pertprobe.models.rivals.silenced import silenced_shifts

    names = rivals.names if names is None else names
    rows, genes = np.array([rivals.names.index(name) for name in names], dtype=np.intp), _places(known, names)
    left = np.zeros(len(genes)) if left is None else np.asarray(left, dtype=np.float64)
    removed = (1 - left) * cells[:, genes].mean(axis=0, dtype=np.float64)
    own = known.controls & (known.contexts == context)
    fitted = {name: change[rows] for name, change in rivals.changes.items()}
    linear = {**fitted, **_named("context", linear_rivals(_of(known, own), genes))}
    found = {name: -removed[:, None] * change for name, change in linear.items()}
    for name, nets in rivals.nets.items():
        found[name] = np.zeros((len(genes), len(known.genes)))
        for net, answered in nets:
            if (asked := np.isin(rows, answered)).any():
                found[name][asked] = silenced_shifts(net, cells, genes[asked], left[asked])
    shifts = ("rival", "perturbation", "gene"), np.stack(list(found.values())).astype(np.float32)
    labels = {"rival": list(found), "perturbation": list(names), "gene": list(known.genes)}
    return xr.Dataset({"shift": shifts}, labels)


def _named(tier: str, answers: Mapping[str, Floats]) -> dict[str, Floats]:
    return {f"{tier}_{name}": values for name, values in answers.items()}


def _nets(known: Known, chosen: np.ndarray, sizes: slice, tier: str, seed: int) -> dict[str, "Autoencoder"]:
    """Return name -> autoencoder of some cells."""
    from pertprobe.models.rivals.autoencoder import SIZES, Autoencoder, seeded

    cells = np.asarray(known.values[chosen])
    return {
        f"autoencoder_{size.hidden}": Autoencoder.fitted(cells, size, seeded(tier, size, seed)) for size in SIZES[sizes]
    }


def _folds(names: Sequence[str]) -> list[Integers]:
    """Return the positions of names in each fold: sorted, they are dealt out in turn."""
    order = np.argsort(np.asarray(names, dtype=str), kind="stable")
    return [order[fold::FOLDS] for fold in range(min(FOLDS, len(order)))]


def _of(known: Known, chosen: np.ndarray) -> Floats:
    return np.asarray(known.values[chosen], dtype=np.float64)


def _places(known: Known, names: Sequence[str]) -> Integers:
    place = {gene: i for i, gene in enumerate(known.genes)}
    return np.array([place[name] for name in names], dtype=np.intp)
