"""A model of known kind as a model of the run: fitted to a file of cells, with a split of what its table knows."""

from pathlib import Path
from typing import Any

import pandas as pd

from pertprobe.data.cells import halved_sums, perturbed_labels, sampled_cells
from pertprobe.data.observed import mean_shifts
from pertprobe.data.regulons import read_regulons
from pertprobe.errors import PertprobeError
from pertprobe.files import atomic
from pertprobe.models.known.fitting import known_models
from pertprobe.models.known.model import KnownModel, read_known, write_known
from pertprobe.models.training_split import Regime, held_out, split_toml
from pertprobe.roles import NETWORK

FILE = "known.safetensors"
CONTROLS = 20_000
"""Most control cells of the context that it is fitted to."""


def train_known(
    cells_path: str | Path,
    *,
    kind: str,
    output: str | Path,
    context: str,
    regime: Regime,
    seed: int,
    heldout: float = 0.2,
    network: str | Path | None = None,
    set_size: int = 32,
    **source: Any,
) -> KnownModel:
    """Fit a model of known kind to the control cells of one context; write its directory, and return it.

    Its table has the mean change of each perturbation in the context; of those that are kept from it (`heldout`, or all
    where `regime` is zeroshot) the mean over the other contexts of the file, zero where there is none.

    Args:
        cells_path: h5ad with all contexts.
        kind: lookup, covariation_pca, covariation_autoencoder or network.
        output: directory to write, whole or not at all.
        context: the context the model is meant for.
        regime: fewshot or zeroshot.
        seed: of the split, of the control cells that are drawn, of the autoencoder.
        heldout: share of perturbations kept from a few-shot model.
        network: table of regulators and targets, which the kind network needs.
        set_size: cells a set.
        source: further fields of `data.cells.CellSource`.

    Raises:
        PertprobeError: the kind network without a network, or a file that does not hold what is asked for.
    """
    if kind == NETWORK and network is None:
        raise PertprobeError("train: kind 'network' needs controls.network, a table of regulators and targets")
    where = {"context": context, **source}
    labels = perturbed_labels(cells_path, **where)
    kept = held_out(labels, context, regime, share=heldout, control=source["control"], seed=seed)
    changes = {each: _changes(cells_path, where | {"context": each}, seed) for each in sorted(set(labels.context))}
    table = _table(changes, context, kept, source["control"])
    controls = sampled_cells(cells_path, seed=seed, controls=CONTROLS, each=0, **where).values
    edges = read_regulons(network) if kind == NETWORK else None
    names = {"context": context, "seed": seed, "control": source["control"], "set_size": set_size}
    model = known_models(controls, table, edges, kinds=[kind], **names)[kind]
    with atomic(output) as folder:
        folder.mkdir()
        write_known({kind: model}, folder / FILE)
        (folder / "split.toml").write_text(split_toml(Path(cells_path), context, regime, kept))
    return model


def load_known(path: str | Path, kind: str, **options: Any) -> KnownModel:
    """Read the directory that `train_known` wrote; `options` are dtype and device."""
    found = read_known(Path(path) / FILE)
    if kind not in found:
        raise PertprobeError(f"{path}: holds {', '.join(found)}, no {kind}")
    return found[kind].to(options["device"], options["dtype"])


def _changes(path: str | Path, source: dict[str, Any], seed: int) -> pd.DataFrame:
    """Return the mean change of each perturbation in one context [perturbation, gene]."""
    return mean_shifts(halved_sums(path, seed=seed, **source), source["control"])["delta_y"].to_pandas()


def _table(changes: dict[str, pd.DataFrame], context: str, kept: tuple[str, ...], control: str) -> pd.DataFrame:
    """Return the change that the model knows of each perturbation; of the control it is zero."""
    names = sorted({control}.union(*(each.index for each in changes.values())))
    own = changes[context]
    others = [each.reindex(names) for name, each in changes.items() if name != context]
    elsewhere = pd.concat(others).groupby(level=0).mean() if others else own.iloc[:0].reindex(names)
    return own.drop(index=list(kept)).reindex(names).fillna(elsewhere).fillna(0.0)
